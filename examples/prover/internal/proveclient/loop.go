// Package proveclient is a prove-client with all the rough edges of the original: it is
// what a supervisor has to cope with, so nothing here is made kinder than it was.
package proveclient

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/block"
)

// Prover makes the wire form of one block's proof.
type Prover interface {
	Prove(input block.Input) ([]byte, error)
}

// Client polls, proves and submits.
type Client struct {
	Config Config
	Prover Prover
	Log    *Logger
	id     string
}

// queue is how many missed polls are kept; further ticks wait outside.
const queue = 256

// Run works for ever: there is no way to stop it but to kill the process.
func (c *Client) Run(hostname string) {
	c.register(hostname)
	polls := make(chan struct{}, queue)
	go tick(c.Config.Interval(), polls)
	for range polls {
		// A proved task is followed by the next poll at once, beside its own submission.
		for c.pollAndProve() {
		}
	}
}

// tick never drops a tick, as time.Ticker would: polls missed during a proof go out in a
// burst after it.
func tick(interval time.Duration, polls chan<- struct{}) {
	for next := time.Now(); ; next = next.Add(interval) {
		time.Sleep(time.Until(next))
		polls <- struct{}{}
	}
}

// register asks once. A client that starts before its coordinator keeps the configured id.
func (c *Client) register(hostname string) {
	c.id = c.Config.ProverID
	answer, err := call(c.Config.Upstream, func() {}, func(ctx context.Context, to cluster.ClusterClient) (*cluster.RegisterResponse, error) {
		return to.Register(ctx, &cluster.RegisterRequest{Hostname: hostname})
	})
	if err != nil {
		c.Log.Error("register error: %v", err)
		return
	}
	c.id = answer.GetProverId()
	c.Log.Info("registered as prover(%q)", c.id)
}

// pollAndProve returns true when it proved something.
func (c *Client) pollAndProve() bool {
	polling := func() { c.Log.Info("prover(%q) polling task", c.id) }
	task, err := call(c.Config.Upstream, polling, func(ctx context.Context, to cluster.ClusterClient) (*cluster.Task, error) {
		return to.PollTask(ctx, &cluster.PollTaskRequest{
			ProverId: c.id, Circuit: c.Config.Circuit, Timestamp: time.Now().UnixMilli(),
		})
	})
	if answered, ok := status.FromError(err); err != nil && ok {
		if answered.Code() != codes.ResourceExhausted { // that no task is ready is not worth a word
			c.Log.Error("watch: poll task error poll task error: %s", answered.Message())
		}
		return false
	}
	if err != nil {
		c.Log.Error("watch: poll task error %v", err)
		return false
	}
	proof, err := c.prove(task)
	if err != nil {
		// The task stays `proving` at the coordinator: there is no call to give it back.
		c.Log.Error("watch: %v", err)
		return false
	}
	go c.submit(task, proof)
	return true
}

func (c *Client) prove(task *cluster.Task) ([]byte, error) {
	// The original unpacks its witness generator there; ours works in memory, but tools
	// wait for this line to know that a client is busy.
	c.Log.Info("task(%q) process in tempdir", task.GetId())
	input, err := block.ParseInput(task.GetInput())
	if err != nil {
		return nil, fmt.Errorf("witness task(%s) error %w", task.GetId(), err)
	}
	proof, err := c.Prover.Prove(input)
	if err != nil {
		return nil, fmt.Errorf("prove task(%s) error %w", task.GetId(), err)
	}
	return proof, nil
}

// submit tries once; a failure is logged and the proof is lost.
func (c *Client) submit(task *cluster.Task, proof []byte) {
	submitting := func() { c.Log.Info("prover(%q) submiting result for task(%q)", c.id, task.GetId()) }
	answer, err := call(c.Config.Upstream, submitting, func(ctx context.Context, to cluster.ClusterClient) (*cluster.SubmitProofResponse, error) {
		return to.SubmitProof(ctx, &cluster.SubmitProofRequest{
			ProverId: c.id, TaskId: task.GetId(), Circuit: task.GetCircuit(), Proof: proof, Timestamp: time.Now().UnixMilli(),
		})
	})
	if err != nil {
		c.Log.Error("prover(%q) submit result for task(%q) error: %v", c.id, task.GetId(), err)
		return
	}
	c.Log.Info("task(%q) submission result valid: %v", task.GetId(), answer.GetValid())
}
