// Prints its environment, one variable a line, then exits with 0.
package main

import (
	"fmt"
	"os"
)

func main() {
	for _, variable := range os.Environ() {
		fmt.Println(variable)
	}
}
