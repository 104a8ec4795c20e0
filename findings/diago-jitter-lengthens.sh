#!/usr/bin/env bash
# Tool: diago 0.42.1 (Go, a SIP telephone library), the stereo recorder behind AudioStereoRecordingCreate, G.711; no packet is lost or out of order.
# Expected: packets that come late and then at once (Wi-Fi, mobile, a busy router) do not change the recording: ten seconds of speech
#   are ten seconds, and what both sides said at one moment stands side by side.
# Happens: the recorder goes by the clock at which packets are read, not by their RTP time. Each stall over 40 ms is filled with silence,
#   and then the late packets are written as well. One stall of 0.1 s a second makes that side 6 % longer, of 0.3 s a quarter; the other side
#   stays as it was, so that the two drift apart for the rest of the call. Meanwhile both sides lie as raw PCM in the folder for temporary files,
#   mode 755, whatever the recording itself has; a process that ends without Close leaves them there.
# Hurts: in a call of ten minutes answer and question are half a minute apart and more: times for redaction or a muted card number,
#   taken from one side or from the application's clock, hit something else, and a transcript has people answer what was not
#   asked yet. Any user of the machine can read the raw files.
# Instead: put a jitter buffer with fixed delay before the recorder (media.RTPJitterBuffer), or record packets with their RTP times; compare the
#   length of both sides with the duration of the call; give the process a TMPDIR of its own and umask 077, and empty it at start.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir tmp
cat > main.go <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/emiago/diago/audio"
	"github.com/emiago/diago/media"
)

const frames = 400 // of 20 ms

// side hands out frames not before they arrive; the last one is loud.
type side struct {
	start time.Time
	stall int // in each second the first frames come together with the one of this number
	next  int
}

func (s *side) Read(packet []byte) (int, error) {
	if s.next == frames {
		return 0, io.EOF
	}
	arrives := max(s.next%50, s.stall) + s.next/50*50
	time.Sleep(time.Until(s.start.Add(time.Duration(arrives) * 20 * time.Millisecond)))
	for n := range 160 {
		packet[n] = 0xff
		if s.next == frames-1 {
			packet[n] = 0x80
		}
	}
	s.next++
	return 160, nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// loud tells the seconds at which the loud frame of a channel begins.
func loud(wav []byte, channel int) float64 {
	for n := 44 + 2*channel; n < len(wav); n += 4 {
		if int16(binary.LittleEndian.Uint16(wav[n:])) > 20000 {
			return float64((n-44)/4) / 8000
		}
	}
	return -1
}

func record(stall int, end bool) (caller, agent float64) {
	file, err := os.Create("call.wav")
	check(err)
	defer file.Close()
	writer := audio.NewWavWriter(file)
	start := time.Now()
	far, near := &side{start: start, stall: stall}, &side{start: start}
	var recorder audio.MonitorPCMStereo
	check(recorder.Init(writer, media.CodecAudioUlaw, far, io.Discard))
	done := make(chan bool)
	go func() {
		packet := make([]byte, 160)
		for {
			if _, err := near.Read(packet); err != nil {
				break
			}
			_, err := recorder.MonitorPCMWriter.Write(packet)
			check(err)
		}
		done <- true
	}()
	packet := make([]byte, 160)
	for {
		if _, err := recorder.MonitorPCMReader.Read(packet); err != nil {
			break
		}
	}
	<-done
	if !end {
		return
	}
	check(recorder.Close())
	check(writer.Close())
	wav, err := os.ReadFile("call.wav")
	check(err)
	return loud(wav, 0), loud(wav, 1)
}

func main() {
	for _, stall := range []int{0, 5, 15} {
		caller, agent := record(stall, true)
		fmt.Printf("stalls of %d ms: the end of 8 s is at %.1f s for the caller, %.1f s for the agent\n", stall*20, caller, agent)
	}
	record(0, false)
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	fmt.Println("left without Close:", len(left))
	for _, path := range left {
		info, err := os.Stat(path)
		check(err)
		fmt.Println(info.Mode(), info.Size() > 100000)
	}
}
GO
umask 022
(go mod init call && go get github.com/emiago/diago@v0.42.1 && go mod tidy && go build -o call .) >go.log 2>&1 || { cat go.log >&2; exit 1; }
go list -m github.com/emiago/diago
seen=$(TMPDIR=$work/tmp ./call)
echo "$seen"
# A loaded machine stalls by itself, so a little more is allowed.
grep -Eq '^stalls of 0 ms: .* at (7\.9|8\.[0-2]) s .*, (7\.9|8\.[0-2]) s ' <<<"$seen" || changed "the call without stalls has another length"
grep -Eq '^stalls of 100 ms: .* at 8\.[3-8] s .*, (7\.9|8\.[0-2]) s ' <<<"$seen" || changed "stalls of 100 ms lengthen it otherwise"
grep -Eq '^stalls of 300 ms: .* at (9\.[89]|10\.[0-6]) s .*, (7\.9|8\.[0-2]) s ' <<<"$seen" || changed "stalls of 300 ms lengthen it otherwise"
[ "$(tail -n 3 <<<"$seen")" = "left without Close: 2
-rwxr-xr-x true
-rwxr-xr-x true" ] || changed "other files are left"
echo "as described"
