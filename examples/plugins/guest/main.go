// A plugin: it writes a file into its folder, reads it, and tries to read a file outside of its folder.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	os.WriteFile("/data/notes.txt", []byte(strings.Repeat("a line\n", 1000)), 0o600)
	notes, _ := os.ReadFile("/data/notes.txt")
	_, err := os.ReadFile("/data/outside/passwd")
	fmt.Println("plugin:", len(notes), "bytes;", err)
}
