package proveclient

import (
	"context"
	"io"
	"net"
	"strings"
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

// A first call without an answer holds the client up for ever: it has no deadline, and polls
// only after it.
func TestAFirstCallThatHangsHoldsTheClientUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	log := &lockedLog{}
	client := &Client{
		Config: Config{ProverID: "own", Upstream: "http://" + listener.Addr().String(), PollInterval: 1, Circuit: "block"},
		Log:    NewLogger(log, "info"),
	}
	go client.Run("host")
	time.Sleep(300 * time.Millisecond) // nothing may come: only time can show it
	if said := log.String(); said != "" {
		t.Errorf("expected no word, got %s", said)
	}
}

// Each failure is logged in the original's words.
func TestFailuresAreWordedAsTheOriginals(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	_ = listener.Close()
	for upstream, expected := range map[string]string{
		nobody:                "0: error trying to connect: tcp connect error: Connection refused (os error 111)",
		"http://name.invalid": "2: failed to lookup address information: Name or service not known",
	} {
		log := &lockedLog{}
		client := &Client{Config: Config{Upstream: upstream}, Log: NewLogger(log, "info")}
		if client.pollAndProve() || !strings.Contains(log.String(), expected) || strings.Contains(log.String(), "polling") {
			t.Errorf("expected %q, got %s", expected, log)
		}
	}
	log := &lockedLog{}
	client := &Client{Log: NewLogger(log, "info")}
	if _, err := client.prove(task("task_1", "{")); err == nil || !strings.HasPrefix(err.Error(), "witness task(task_1) error ") {
		t.Errorf("unexpected %v", err)
	}
}

// lockedLog is a log that may be read while it is written.
type lockedLog struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *lockedLog) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(line)
}

func (l *lockedLog) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}
