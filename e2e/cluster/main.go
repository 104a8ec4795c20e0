// Command cluster is a Kubernetes control plane in one binary: etcd, kube-apiserver and
// kube-controller-manager from their own packages, chosen by the first argument. The test
// harness starts it, so that every test meets the real servers and none needs a download.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("name a component")
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...)
	var command *cobra.Command
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
		return
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	default:
		fail(fmt.Sprintf("no component %q", name))
	}
	os.Exit(cli.Run(command))
}

func fail(reason string) {
	fmt.Fprintf(os.Stderr, "cluster: %s; usage: cluster etcd|kube-apiserver|kube-controller-manager [flags]\n", reason)
	os.Exit(2)
}
