// Command evaluator answers whether NetworkPolicies let two peers talk.
//
// It is the second opinion on the policies that the operator renders: the verdicts come from cyclonus' matcher,
// which shares no code with the operator. It reads one JSON document a line on stdin and writes one JSON array of
// answers a line on stdout, in the order of the document's queries, flushed after every document. The first thing it
// cannot judge ends it with a message on stderr and exit code 2: a judge that guesses would be worse than none.
//
// What it does not model: the node's own traffic to its pods, a pod talking to itself, named ports (refused) and the
// translation of Service addresses (ask about the pod behind the Service).
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// exitRefused says that a document could not be judged.
const exitRefused = 2

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "evaluator:", err)
		os.Exit(exitRefused)
	}
}

// run judges every document of in. The answers to the documents before a faulty one have been written by then.
func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	answers := bufio.NewWriter(out)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading document %d: %w", number, err)
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		verdicts, err := judgeLine(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			return fmt.Errorf("document %d: %w", number, err)
		}
		if err := json.NewEncoder(answers).Encode(verdicts); err != nil {
			return fmt.Errorf("answering document %d: %w", number, err)
		}
		if err := answers.Flush(); err != nil {
			return fmt.Errorf("answering document %d: %w", number, err)
		}
	}
}

func judgeLine(line []byte) ([]Answer, error) {
	document, err := decode(line)
	if err != nil {
		return nil, err
	}
	return judge(document)
}
