// Command argohealth says of Kubernetes objects how healthy Argo CD and Flux would find them.
//
// It reads one JSON document a line on stdin and writes one JSON answer a line on stdout, flushed after every
// document. The first thing it cannot judge ends it with a message on stderr and exit code 2.
//
// Both judge with their own code: Argo CD with its settings, health and script machine (argo.go), Flux with its
// evaluator, beside the kstatus of Kubernetes' library, which Flux takes where a Kustomization has no expressions for a
// kind (flux.go).
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
)

// exitRefused says that a document could not be judged.
const exitRefused = 2

// Document asks about one object.
type Document struct {
	// Config is the data of the ConfigMap argocd-cm; the script is found in it as Argo CD finds it.
	Config map[string]string `json:"config"`
	// Checks are spec.healthCheckExprs of a Kustomization of Flux.
	Checks []kustomize.CustomHealthCheck `json:"checks"`
	// Object is the live object.
	Object map[string]any `json:"object"`
}

// Answer is what each finds.
type Answer struct {
	Argo    Health `json:"argo"`
	Flux    Health `json:"flux"`
	Kstatus Health `json:"kstatus"`
}

// Health is a word and a sentence.
type Health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "argohealth:", err)
		os.Exit(exitRefused)
	}
}

// run judges every document of in. The answers to the documents before a faulty one have been written by then.
func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading document %d: %w", number, err)
		}
		answer, err := judge(line)
		if err != nil {
			return fmt.Errorf("document %d: %w", number, err)
		}
		// Encode ends the line, and out is not buffered.
		if err := json.NewEncoder(out).Encode(answer); err != nil {
			return fmt.Errorf("answering document %d: %w", number, err)
		}
	}
}

func judge(line []byte) (Answer, error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var document Document
	if err := decoder.Decode(&document); err != nil {
		return Answer{}, err
	}
	live, err := unstructuredOf(document.Object)
	if err != nil {
		return Answer{}, err
	}
	argo, err := argoHealth(document.Config, live)
	if err != nil {
		return Answer{}, err
	}
	flux, err := fluxHealth(document.Checks, live)
	if err != nil {
		return Answer{}, err
	}
	kstatus, err := kstatusOf(live)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Argo: argo, Flux: flux, Kstatus: kstatus}, nil
}
