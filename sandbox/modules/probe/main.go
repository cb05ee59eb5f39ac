// Probe tells whether a TCP address can be reached from where it runs: `probe HOST:PORT` prints `ok` or the reason.
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Println("usage: probe HOST:PORT")
		os.Exit(2)
	}
	connection, err := net.DialTimeout("tcp", os.Args[1], 5*time.Second)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_ = connection.Close()
	fmt.Println("ok")
}
