// Command coredns is CoreDNS with the few plugins that a cluster of one node needs. With all of
// them it would link the clients of every cloud, which take longest to compile.
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	coremain.Run()
}
