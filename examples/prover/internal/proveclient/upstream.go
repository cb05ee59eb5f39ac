package proveclient

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"proverctl.example/prover/gen/cluster"
)

// call connects anew for every call, so that a changed endpoint behind the upstream's name
// reaches a running client. It sets no deadline, so that a call may hang for minutes.
// `connected` is told before the call itself.
func call[Answer any](upstream string, connected func(), ask func(context.Context, cluster.ClusterClient) (Answer, error)) (answer Answer, err error) {
	address, err := dialAddress(upstream)
	if err != nil {
		return answer, err
	}
	socket, err := (&net.Dialer{}).Dial("tcp", address)
	if err != nil {
		return answer, transportError(err)
	}
	connected()
	dialled := false
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if dialled {
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			}
			dialled = true
			return socket, nil
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		_ = socket.Close()
		return answer, fmt.Errorf("connecting to %s: %w", upstream, err)
	}
	defer connection.Close()
	return ask(context.Background(), cluster.NewClusterClient(connection))
}

// transportError words a failed connection as the original does: a chain of causes, of which
// the last lines say the least.
func transportError(err error) error {
	cause := "tcp connect error: " + err.Error()
	last := err.Error()
	var number syscall.Errno
	var name *net.DNSError
	if errors.As(err, &number) {
		text := number.Error()
		last = fmt.Sprintf("%s (os error %d)", strings.ToUpper(text[:1])+text[1:], int(number))
		cause = "tcp connect error: " + last
	} else if errors.As(err, &name) {
		last = "failed to lookup address information: Name or service not known"
		cause = "dns error: " + last
	}
	return fmt.Errorf("transport error\n\nCaused by:\n    0: error trying to connect: %s\n    1: %s\n    2: %s", cause, cause, last)
}

func dialAddress(upstream string) (string, error) {
	parsed, err := url.Parse(upstream)
	if err != nil {
		return "", fmt.Errorf("upstream is no URL: %w", err)
	}
	if parsed.Scheme != "http" || parsed.Hostname() == "" {
		return "", fmt.Errorf("upstream %q is not http://host[:port]", upstream)
	}
	port := parsed.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(parsed.Hostname(), port), nil
}
