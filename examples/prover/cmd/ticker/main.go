// Command ticker simulates load: it adds blocks to prove until it is killed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"proverctl.example/prover/internal/logline"
	"proverctl.example/prover/internal/table"
)

// faultCode is the exit code of a missing database.
const faultCode = 101

type load struct {
	circuit           string
	interval          time.Duration
	tasks, maxPending int
}

func main() {
	var load load
	flag.StringVar(&load.circuit, "circuit", "block", "circuit the tasks are for")
	flag.DurationVar(&load.interval, "interval", time.Second, "time between two additions")
	flag.IntVar(&load.tasks, "tasks", 1, "tasks in one addition")
	flag.IntVar(&load.maxPending, "max-pending", 50, "add nothing while this many are unproved")
	patience := flag.Duration("database-wait", 30*time.Second, "how long to wait for the database at start")
	flag.Parse()
	logger := logline.New(os.Stdout)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, logger, load, *patience); err != nil {
		logger.Printf("ERROR ticker: %v", err)
		os.Exit(faultCode)
	}
}

func run(ctx context.Context, logger *log.Logger, load load, patience time.Duration) error {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		return fmt.Errorf("DATABASE_URL is not set: give postgres://user@host:port/database")
	}
	if load.interval <= 0 {
		return fmt.Errorf("--interval is %s, it must be positive", load.interval)
	}
	tasks, err := table.Open(ctx, url, patience)
	if err != nil {
		return err
	}
	defer tasks.Close()
	ticks := time.NewTicker(load.interval)
	defer ticks.Stop()
	for {
		tick(ctx, logger, tasks, load)
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// tick survives a database that is away: load must come back with it.
func tick(ctx context.Context, logger *log.Logger, tasks *table.Tasks, load load) {
	added, err := tasks.Enqueue(ctx, load.circuit, load.tasks, load.maxPending)
	if err != nil {
		logger.Printf("ERROR ticker: %v", err)
		return
	}
	if added > 0 {
		logger.Printf("enqueue circuit=%s added=%d", load.circuit, added)
	}
}
