package proveclient

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"proverctl.example/prover/gen/cluster"
	"proverctl.example/prover/internal/block"
)

// coordinator is a fake that tells what a client did, and answers from a script.
type coordinator struct {
	cluster.UnimplementedClusterServer
	events chan string
	mutex  sync.Mutex
	tasks  []*cluster.Task
	refuse bool
}

func (c *coordinator) Register(_ context.Context, _ *cluster.RegisterRequest) (*cluster.RegisterResponse, error) {
	c.events <- "register"
	if c.refuse {
		return nil, status.Error(codes.Unavailable, "not yet")
	}
	return &cluster.RegisterResponse{ProverId: "given"}, nil
}

func (c *coordinator) PollTask(_ context.Context, request *cluster.PollTaskRequest) (*cluster.Task, error) {
	c.events <- "poll " + request.GetProverId()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.tasks) == 0 {
		return nil, status.Error(codes.ResourceExhausted, "no task ready to prove")
	}
	task := c.tasks[0]
	c.tasks = c.tasks[1:]
	return task, nil
}

func (c *coordinator) SubmitProof(_ context.Context, request *cluster.SubmitProofRequest) (*cluster.SubmitProofResponse, error) {
	c.events <- "submit " + request.GetTaskId()
	return nil, status.Error(codes.Unavailable, "database away")
}

type proverFunc func(block.Input) ([]byte, error)

func (f proverFunc) Prove(input block.Input) ([]byte, error) { return f(input) }

func start(t *testing.T, fake *coordinator, interval int64, prove proverFunc) {
	t.Helper()
	fake.events = make(chan string, 100)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	cluster.RegisterClusterServer(server, fake)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	client := &Client{
		Config: Config{ProverID: "own", Upstream: "http://" + listener.Addr().String(), PollInterval: interval, Circuit: "block"},
		Prover: prove,
		Log:    NewLogger(io.Discard, ""),
	}
	go client.Run("host") // ends with the test process: it knows no stop
}

func (c *coordinator) expect(t *testing.T, events ...string) {
	t.Helper()
	for _, expected := range events {
		select {
		case got := <-c.events:
			if got != expected {
				t.Fatalf("expected %q, got %q", expected, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("expected %q, nothing came", expected)
		}
	}
}

func task(id, input string) *cluster.Task {
	return &cluster.Task{Id: id, Circuit: "block", Input: []byte(input)}
}

const emptyBlock = `{"old_root":"0","transactions":["0","0","0","0"]}`

const never = int64(time.Hour / time.Millisecond)

// A refused registration is not tried again: the client goes on with its own id.
func TestRegisterIsTriedOnce(t *testing.T) {
	fake := &coordinator{refuse: true}
	start(t, fake, 1, nil)
	fake.expect(t, "register", "poll own", "poll own", "poll own")
}

// The id that the coordinator gives is used from then on.
func TestRegisteredIDIsUsed(t *testing.T) {
	fake := &coordinator{}
	start(t, fake, never, nil)
	fake.expect(t, "register", "poll given")
}

// After a proof the next poll comes without waiting for a tick, and a failed submission is
// not repeated.
func TestNextPollComesBesideAnUnrepeatedSubmit(t *testing.T) {
	fake := &coordinator{tasks: []*cluster.Task{task("one", emptyBlock)}}
	start(t, fake, never, func(block.Input) ([]byte, error) { return []byte("proof"), nil })
	fake.expect(t, "register", "poll given")
	seen := map[string]int{}
	for range 2 {
		seen[<-fake.events]++
	}
	if seen["poll given"] != 1 || seen["submit one"] != 1 {
		t.Errorf("expected one poll and one submit in any order, got %v", seen)
	}
	select {
	case extra := <-fake.events:
		t.Errorf("unexpected %q", extra)
	case <-time.After(200 * time.Millisecond): // nothing more may come: only time can show it
	}
}

// Ticks that pass during a proof are all made up for afterwards.
func TestMissedPollsComeInABurst(t *testing.T) {
	const missed = 5
	interval := 40 * time.Millisecond
	fake := &coordinator{tasks: []*cluster.Task{task("one", emptyBlock)}}
	start(t, fake, interval.Milliseconds(), func(block.Input) ([]byte, error) {
		time.Sleep(missed * interval) // stands for the work of a proof
		return []byte("proof"), nil
	})
	fake.expect(t, "register", "poll given")
	first := <-fake.events
	began := time.Now()
	for polls := 0; polls < missed; {
		if event := <-fake.events; event == "poll given" {
			polls++
		}
	}
	if took := time.Since(began); took > (missed-1)*interval {
		t.Errorf("after %q, %d polls took %s: no burst", first, missed, took)
	}
}

// A task whose witness cannot be computed is dropped; the client lives on.
func TestBrokenTaskIsDropped(t *testing.T) {
	fake := &coordinator{tasks: []*cluster.Task{task("broken", `{"old_root":"x"}`)}}
	start(t, fake, 1, nil)
	fake.expect(t, "register", "poll given", "poll given", "poll given")
}
