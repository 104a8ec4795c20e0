#!/usr/bin/env bash
# Tool: pion/webrtc 4.2.26 (Go), its oggwriter (the voice of a call, Opus in Ogg) and ivfwriter (the picture, VP8 in IVF), as recorders built on it write a call.
# Expected: a minute is a minute in both files: a hold, a packet that was lost, a pause in which the sender sends nothing (discontinuous transmission, which
#   Opus has) take the time that the packets' timestamps say. RFC 7845 (4.1) describes it for Ogg.
# Happens: the time of the voice is the sum of the packets that came; their timestamps and numbers are not looked at. A minute with a hold of four seconds
#   is 56 seconds long, one with a tenth of its packets lost 54, one in which one side listens for 30 seconds half of it; a packet that came twice counts
#   twice. The picture of each is 66.65 seconds long, a ninth too long, as milliseconds are divided by 30 and called thirtieths of a second. No error.
# Hurts: the two sides of a call are of two lengths, since each loses its own pauses, and the picture of a third; what a transcript, a log of the call, or a pause
#   for card data gives as time is at another place in the file: a redaction mutes other words than those that were meant.
# Instead: fill each gap in the voice by the timestamps (an empty Opus packet of the same length) behind a jitter buffer; write the picture with
#   WithFrameRate(1, 90000) and WithDirectPTS(); or record packets (rtpdump) and convert later. Compare the length of each file with that of the call.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

cat > go.mod <<'MOD'
module record
go 1.26
MOD
cat > main.go <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/pion/webrtc/v4/pkg/media/oggwriter"
)

const frames = 3000 // one minute in packets of 20 ms

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// moments gives the packets that arrive, by the number of their 20 ms.
func moments(keep func(int) bool) []int {
	var all []int
	for at := 0; at < frames; at++ {
		if keep(at) {
			all = append(all, at)
		}
	}
	return all
}

func voice(name string, all []int, sent bool) float64 {
	writer, err := oggwriter.New(name+".ogg", 48000, 2)
	check(err)
	for index, at := range all {
		number := at
		if !sent { // the sender itself paused: no number is missing
			number = index
		}
		header := rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(number), Timestamp: uint32(5000 + at*960), SSRC: 1}
		check(writer.WriteRTP(&rtp.Packet{Header: header, Payload: []byte{0xf8, 0xff, 0xfe}}))
	}
	check(writer.Close())
	data, err := os.ReadFile(name + ".ogg")
	check(err)
	var end uint64
	for at := 0; at < len(data); {
		end = binary.LittleEndian.Uint64(data[at+6:])
		segments := int(data[at+26])
		next := at + 27 + segments
		for _, size := range data[at+27 : at+27+segments] {
			next += int(size)
		}
		at = next
	}
	return float64(end) / 48000
}

func picture(name string, all []int, options ...ivfwriter.Option) float64 {
	writer, err := ivfwriter.New(name+".ivf", append(options, ivfwriter.WithCodec("video/VP8"))...)
	check(err)
	for index, at := range all {
		header := rtp.Header{Version: 2, Marker: true, PayloadType: 96, SequenceNumber: uint16(index), Timestamp: uint32(7000 + at*1800), SSRC: 2}
		check(writer.WriteRTP(&rtp.Packet{Header: header, Payload: []byte{0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}))
	}
	check(writer.Close())
	data, err := os.ReadFile(name + ".ivf")
	check(err)
	rate, scale := binary.LittleEndian.Uint32(data[16:]), binary.LittleEndian.Uint32(data[20:])
	var last uint64
	for at := 32; at < len(data); {
		last = binary.LittleEndian.Uint64(data[at+4:])
		at += 12 + int(binary.LittleEndian.Uint32(data[at:]))
	}
	return float64(last)*float64(scale)/float64(rate) + 0.02
}

func main() {
	tell := func(name string, all []int, sent bool) {
		fmt.Printf("%-42s voice %6.2f s, picture %6.2f s\n", name+":", voice("voice", all, sent), picture("picture", all))
	}
	tell("all packets", moments(func(int) bool { return true }), true)
	tell("hold from 20 s to 24 s", moments(func(at int) bool { return at < 1000 || at >= 1200 }), false)
	tell("each tenth packet lost", moments(func(at int) bool { return at%10 != 5 }), true)
	tell("listening from 20 s to 50 s, one in 400 ms", moments(func(at int) bool { return at < 1000 || at >= 2500 || at%20 == 0 }), false)
	direct := picture("picture", moments(func(int) bool { return true }), ivfwriter.WithFrameRate(1, 90000), ivfwriter.WithDirectPTS())
	fmt.Printf("%-42s picture %6.2f s\n", "all packets, with direct times:", direct)
	twice := moments(func(int) bool { return true })
	twice = append(twice[:1500:1500], twice[1250:]...)
	fmt.Printf("%-42s voice %6.2f s\n", "250 packets came twice:", voice("voice", twice, true))
}
GO
go get github.com/pion/webrtc/v4@v4.2.26 >go.log 2>&1 && go mod tidy >>go.log 2>&1 && go build -o record . >>go.log 2>&1 || { cat go.log >&2; exit 1; }
go list -m github.com/pion/webrtc/v4
seen=$(./record)
echo "$seen"
[ "$seen" = 'all packets:                               voice  60.00 s, picture  66.65 s
hold from 20 s to 24 s:                    voice  56.00 s, picture  66.65 s
each tenth packet lost:                    voice  54.00 s, picture  66.65 s
listening from 20 s to 50 s, one in 400 ms: voice  31.50 s, picture  66.65 s
all packets, with direct times:            picture  60.00 s
250 packets came twice:                    voice  65.00 s' ] || changed "other lengths"
echo "as described"
