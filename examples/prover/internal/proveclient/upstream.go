package proveclient

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/url"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"proverctl.example/prover/gen/cluster"
)

// call connects anew for every call, so that a changed endpoint behind the upstream's name
// reaches a running client. It sets no deadline.
func call[Answer any](upstream string, ask func(context.Context, cluster.ClusterClient) (Answer, error)) (answer Answer, err error) {
	address, err := dialAddress(upstream)
	if err != nil {
		return answer, err
	}
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return answer, fmt.Errorf("connecting to %s: %w", upstream, err)
	}
	defer connection.Close()
	return ask(context.Background(), cluster.NewClusterClient(connection))
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
