#!/usr/bin/env bash
# Tool: libopus 1.6.1 (as shipped in opusic-sys 0.7.7, Rust), one call in packets of 20 ms, as RTP carries them; recording paused for a second.
# Expected: if a recorder writes no packet (or silence) from 3 s to 4 s, while a card number is said, nothing of that second is in the recording.
# Happens: a sender may put earlier speech into each packet, against losses. With in-band FEC the first packet after the pause holds the last 20 ms
#   of it once more. With deep redundancy (DRED, since 1.5) it holds up to a whole second: decoded from that one packet, where
#   in the paused second there was voice and where not comes back as it was (loudness by tenths of a second is compared here).
#   How much there is depends on the bit rate. DRED lies in the packet's padding, which ordinary decoding passes over.
# Hurts: pausing a recording for card numbers, or dropping the packets of what must not be kept, leaves its last second in the archive, readable by
#   anybody with the current library; a check by ear and by any player passes.
# Instead: take the redundancy out of the first packets after a pause (opus_packet_unpad drops DRED, tried here), or leave out the packets of one
#   more second, or record decoded audio; refuse in-band FEC and RED in the session's description where recordings are paused.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
changed() { echo "CHANGED: $1" >&2; exit 1; }

mkdir -p call/src
cat > call/Cargo.toml <<'TOML'
[package]
name = "call"
version = "0.0.0"
edition = "2021"
[dependencies]
opusic-sys = { version = "=0.7.7", features = ["dred"] }
[profile.dev]
debug = false
TOML
cat > call/src/main.rs <<'RUST'
use opusic_sys::*;
use std::ptr::null;

const RATE: usize = 16_000;
const FRAME: usize = RATE / 50;
const PAUSE: std::ops::Range<usize> = 150..200; // packets of 3 s to 4 s
const VOICE: &[u8] = b"1011001110100110100111001011010011101001"; // in which tenths of a second there is voice

/// Something like a vowel: harmonics of 125 Hz with two resonances.
fn speech(n: usize) -> f32 {
    if VOICE[n * 10 / RATE % VOICE.len()] == b'0' {
        return 0.0;
    }
    let resonance = |f: f32, at: f32, width: f32| 1.0 / (1.0 + ((f - at) / width).powi(2));
    (1..30).map(|harmonic| {
        let f = 125.0 * harmonic as f32;
        0.1 * (resonance(f, 500.0, 200.0) + 0.6 * resonance(f, 1500.0, 250.0)) * (std::f32::consts::TAU * f * n as f32 / RATE as f32).sin()
    }).sum()
}

fn loud(audio: &[f32]) -> String {
    audio.chunks(RATE / 10).map(|part| if (part.iter().map(|v| v * v).sum::<f32>() / part.len() as f32).sqrt() > 0.07 { '1' } else { '0' }).collect()
}

struct Recording {
    before: Vec<Vec<u8>>,
    after: Vec<u8>,
}

fn record(rate: i32, fec: bool, dred: i32) -> Recording {
    let mut error = 0;
    let mut packets = Vec::new();
    unsafe {
        let encoder = opus_encoder_create(RATE as i32, 1, 2048, &mut error); // OPUS_APPLICATION_VOIP
        opus_encoder_ctl(encoder, 4002, rate); // OPUS_SET_BITRATE
        opus_encoder_ctl(encoder, 4012, fec as i32); // OPUS_SET_INBAND_FEC
        opus_encoder_ctl(encoder, 4014, if fec || dred > 0 { 20 } else { 0 }); // OPUS_SET_PACKET_LOSS_PERC
        opus_encoder_ctl(encoder, OPUS_SET_DRED_DURATION_REQUEST, dred);
        for n in 0..=PAUSE.end {
            let audio: Vec<f32> = (n * FRAME..(n + 1) * FRAME).map(speech).collect();
            let mut packet = vec![0; 1500];
            let size = opus_encode_float(encoder, audio.as_ptr(), FRAME as i32, packet.as_mut_ptr(), 1500);
            packet.truncate(size as usize);
            packets.push(packet);
        }
        opus_encoder_destroy(encoder);
    }
    Recording { after: packets[PAUSE.end].clone(), before: packets[..PAUSE.start].to_vec() }
}

/// What of the pause the first packet after it gives: milliseconds of redundancy, and where there is voice in the tenths that it covers whole.
fn recover(recording: &Recording, after: &[u8]) -> (i32, String) {
    let mut error = 0;
    let mut audio = Vec::new();
    let mut frame = [0f32; FRAME];
    unsafe {
        let decoder = opus_decoder_create(RATE as i32, 1, &mut error);
        for packet in &recording.before {
            opus_decode_float(decoder, packet.as_ptr(), packet.len() as i32, frame.as_mut_ptr(), FRAME as i32, 0);
        }
        let deep = opus_dred_decoder_create(&mut error);
        let dred = opus_dred_alloc(&mut error);
        let mut end = 0;
        let held = opus_dred_parse(deep, dred, after.as_ptr(), after.len() as i32, RATE as i32, RATE as i32, &mut end, 0).max(0);
        for back in (1..=PAUSE.len() as i32).rev().map(|n| n * FRAME as i32) {
            if back <= held {
                opus_decoder_dred_decode_float(decoder, dred, back, frame.as_mut_ptr(), FRAME as i32);
            } else {
                opus_decode_float(decoder, null(), 0, frame.as_mut_ptr(), FRAME as i32, 0);
            }
            audio.extend_from_slice(&frame);
        }
        let whole = (held as usize / (RATE / 10)).min(10);
        (held / (RATE as i32 / 1000), loud(&audio[(10 - whole) * RATE / 10..]))
    }
}

fn main() {
    println!("{}", unsafe { std::ffi::CStr::from_ptr(opus_get_version_string()) }.to_string_lossy());
    let said: Vec<f32> = (PAUSE.start * FRAME..PAUSE.end * FRAME).map(speech).collect();
    println!("voice in the tenths of the paused second: {}", loud(&said));
    for (label, rate, dred) in [("no redundancy", 32_000, 0), ("DRED, 40 kbit/s", 40_000, 100), ("DRED, 80 kbit/s", 80_000, 100)] {
        let recording = record(rate, false, dred);
        let (held, voice) = recover(&recording, &recording.after);
        println!("{label}: {} of the pause in the next packet: {voice}", if held == 0 { "nothing".into() } else if held >= 1000 { "all".into() } else { format!("{}00 ms", held / 100) });
        let mut bare = recording.after.clone();
        let size = unsafe { opus_packet_unpad(bare.as_mut_ptr(), bare.len() as i32) };
        bare.truncate(size as usize);
        println!("  unpadded: {} ms", recover(&recording, &bare).0);
    }
    let recording = record(24_000, true, 0);
    let mut frame = [0f32; FRAME];
    unsafe {
        let decoder = opus_decoder_create(RATE as i32, 1, &mut 0);
        opus_decode_float(decoder, recording.after.as_ptr(), recording.after.len() as i32, frame.as_mut_ptr(), FRAME as i32, 1);
        let energy: f32 = frame.iter().map(|v| v * v).sum(); // a new decoder makes silence of a packet without FEC
        println!("in-band FEC: the last 20 ms of the pause in the next packet: {}", if energy > 0.1 { "voice" } else { "nothing" });
    }
}
RUST
cargo build --quiet --manifest-path call/Cargo.toml
seen=$(target/debug/call)
echo "$seen"
[ "$seen" = "libopus 1.6.1
voice in the tenths of the paused second: 0011101001
no redundancy: nothing of the pause in the next packet: 
  unpadded: 0 ms
DRED, 40 kbit/s: 500 ms of the pause in the next packet: 01001
  unpadded: 0 ms
DRED, 80 kbit/s: all of the pause in the next packet: 0011101001
  unpadded: 0 ms
in-band FEC: the last 20 ms of the pause in the next packet: voice" ] || changed "another part of the pause comes back"
echo "as described"
