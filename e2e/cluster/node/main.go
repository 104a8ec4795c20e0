// Command node is what makes a machine a node, in one binary: kubelet, kube-proxy and, because one
// node needs no more than one, kube-scheduler. It is apart from the control plane, so that tests
// without a node do not wait until the kubelet is compiled.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("name a component")
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...)
	var command *cobra.Command
	switch name {
	case "kubelet":
		command = kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		command = proxy.NewProxyCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	default:
		fail(fmt.Sprintf("no component %q", name))
	}
	os.Exit(cli.Run(command))
}

func fail(reason string) {
	fmt.Fprintf(os.Stderr, "node: %s; usage: node kubelet|kube-proxy|kube-scheduler [flags]\n", reason)
	os.Exit(2)
}
