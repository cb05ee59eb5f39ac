// Actor plays a client that goes wrong, as its arguments tell it.
//
//	say LINE            prints LINE every half second and stays
//	log SECONDS LINE... logs one line after the other, with the time, so often, and begins again
//	end CODE LINE...    prints the lines and exits with CODE
//	eat                 takes memory until it is killed
//	fill FILE MIB       writes a file of so many MiB and stays
//	poll HOST:PORT      connects every half second and complains as the real client does
//	deaf                ignores SIGTERM
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const pause = 500 * time.Millisecond

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "actor: what shall I play?")
		os.Exit(2)
	}
	switch rest := os.Args[2:]; os.Args[1] {
	case "say":
		forever(func() { fmt.Println(rest[0]) })
	case "log":
		logged(time.Duration(number(rest[0]))*time.Second, rest[1:])
	case "end":
		for _, line := range rest[1:] {
			fmt.Println(line)
		}
		os.Exit(number(rest[0]))
	case "eat":
		eat()
	case "fill":
		fill(rest[0], number(rest[1]))
		forever(func() {})
	case "poll":
		forever(func() { poll(rest[0]) })
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		forever(func() {})
	}
}

func forever(do func()) {
	for {
		do()
		time.Sleep(pause)
	}
}

func logged(every time.Duration, lines []string) {
	for {
		for _, line := range lines {
			fmt.Printf("%s %s\n", time.Now().UTC().Format(time.RFC3339), line)
			time.Sleep(every)
		}
	}
}

func number(text string) int {
	found, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return found
}

func eat() {
	var taken [][]byte
	for {
		block := make([]byte, 4<<20)
		for i := range block {
			block[i] = byte(i) // touched, or it would cost nothing
		}
		taken = append(taken, block)
	}
}

func fill(path string, mebibytes int) {
	if err := os.WriteFile(path, make([]byte, mebibytes<<20), 0o600); err != nil {
		panic(err)
	}
}

func poll(address string) {
	connection, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		fmt.Printf("%s ERROR poll task error: connecting to %s: %v\n", time.Now().UTC().Format(time.RFC3339), address, err)
		return
	}
	_ = connection.Close()
	fmt.Printf("%s INFO polling task\n", time.Now().UTC().Format(time.RFC3339))
}
