// A guest, compiled to WebAssembly (wasip1), that counts the words of its standard input.
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	words, seen := 0, map[string]bool{}
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Split(bufio.ScanWords)
	for scanner.Scan() {
		words++
		seen[scanner.Text()] = true
	}
	if err := scanner.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "wordcount:", err)
		os.Exit(1)
	}
	fmt.Printf("guest: %d words, %d of them different\n", words, len(seen))
}
