// Command fluidex is the example's coordinator with the configuration and the address of the stand-in repository, and
// with tasks of its own making instead of a database. It is built within the example's module.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"gopkg.in/yaml.v3"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/block"
	"proverctl.example/prover/internal/keys"
	"proverctl.example/prover/internal/logline"
	"proverctl.example/prover/internal/service"
	"proverctl.example/prover/internal/table"
)

const pause = 300 * time.Millisecond // between two tasks

type settings struct {
	Port     string
	Circuits map[string]struct{ Vk string }
}

func main() {
	logger := logline.New(os.Stdout)
	if err := run(logger); err != nil {
		logger.Fatalf("ERROR coordinator: %v", err)
	}
}

func run(logger *log.Logger) error {
	text, err := os.ReadFile("config/coordinator.yaml")
	if err != nil {
		return err
	}
	var asked settings
	if err := yaml.Unmarshal(text, &asked); err != nil {
		return err
	}
	made := &tasks{inputs: map[string][]byte{}}
	answers := &service.Cluster{Tasks: made, Log: logger}
	for name, circuit := range asked.Circuits {
		made.circuit = name
		answers.Circuit = name
		if answers.Verifier, err = keys.LoadVerifier(circuit.Vk); err != nil {
			return err
		}
	}
	host := os.Getenv("COORDINATOR_LISTENADDR")
	if host == "" {
		host = "[::1]"
	}
	listener, err := net.Listen("tcp", host+":"+asked.Port)
	if err != nil {
		return err
	}
	logger.Printf("start listen=%s circuit=%s", listener.Addr(), made.circuit)
	server := grpc.NewServer()
	cluster.RegisterClusterServer(server, answers)
	return server.Serve(listener)
}

// tasks are blocks of one circuit without end; who asks for another circuit waits for ever.
type tasks struct {
	mutex   sync.Mutex
	circuit string
	last    time.Time
	inputs  map[string][]byte
}

func (t *tasks) HandOut(_ context.Context, circuit, _ string) (table.Task, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if circuit != t.circuit || time.Since(t.last) < pause {
		return table.Task{}, table.ErrNone
	}
	t.last = time.Now()
	input, err := block.RandomInput("0")
	if err != nil {
		return table.Task{}, err
	}
	text, err := json.Marshal(input)
	task := table.Task{ID: "task_" + t.last.Format("150405.000000000"), Circuit: circuit, Input: text}
	t.inputs[task.ID] = text
	return task, err
}

func (t *tasks) Input(_ context.Context, taskID string) ([]byte, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if input, found := t.inputs[taskID]; found {
		return input, nil
	}
	return nil, table.ErrNone
}

func (t *tasks) Store(context.Context, string, string, []byte, []byte) error { return nil }
