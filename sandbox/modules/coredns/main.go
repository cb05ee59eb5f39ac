// CoreDNS with the plugins that the Corefile of a world names, and no others: the complete one compiles every cloud's SDK.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	// In the order in which a query passes them, which is that of CoreDNS's own list.
	dnsserver.Directives = []string{"bind", "health", "errors", "kubernetes", "forward"}
	coremain.Run()
}
