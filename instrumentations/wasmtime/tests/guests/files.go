// Works on the files in /data, says so on stdout and stderr, and exits with the number in its argument.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

func main() {
	content := bytes.Repeat([]byte("0123456789"), 10000)
	fmt.Println(os.WriteFile("/data/out.txt", content, 0o600))
	read, err := os.ReadFile("/data/out.txt")
	fmt.Println(len(read), err)
	_, err = os.ReadFile("/data/link")
	fmt.Println(err)
	_, err = os.Stat("/data/missing")
	fmt.Println(err)
	fmt.Fprintln(os.Stderr, os.Mkdir("/data/made", 0o700), os.Remove("/data/made"))
	fmt.Println(os.Getenv("TRACEPARENT"))
	code, _ := strconv.Atoi(os.Args[1])
	os.Exit(code)
}
