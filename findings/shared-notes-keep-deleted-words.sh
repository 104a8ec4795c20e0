#!/usr/bin/env bash
# Tools: yjs 13.6.33 with its store y-leveldb 0.2.0, @automerge/automerge 3.5.0, loro-crdt 1.17.1 (Node.js): notes on a call that several agents type into at once, as
#   editors built on them keep and send them. One sentence is typed and deleted again.
# Expected: yjs, whose documents are collected (`gc` is on), has the deleted words nowhere once the notes are written down, at the latest after they were
#   compacted (mergeUpdates, flushDocument) or the document was deleted (clearDocument). What keeps a history by design lets it be left behind.
# Happens: in the document of yjs they are gone. In what is kept they are not: mergeUpdates, which makes one update of many, keeps them; the store
#   keeps them in its files after flushDocument, after clearDocument, and when it was closed and opened again. With an UndoManager the document itself
#   keeps them, after its clear() too. automerge writes them with save(), of a clone too; loro with its snapshot, and not with a shallow snapshot.
# Hurts: a card number or a diagnosis that was typed by mistake and deleted is handed to whoever opens the notes next (automerge, loro, a server that merges updates)
#   and lies in each backup; deleting the notes at the end of their period deletes what they show.
# Instead: write down what encodeStateAsUpdate of a fresh document gives after all updates were applied (yjs), a shallow snapshot (loro), a new document made of the present
#   text (automerge), each into a new file; keep notes of different periods in different files, encrypted with a key of their own that can be destroyed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
changed() { echo "CHANGED: $1" >&2; exit 1; }

echo '{"private":true,"type":"module"}' >package.json
npm install --no-audit --no-fund --silent yjs@13.6.33 y-leveldb@0.2.0 @automerge/automerge@3.5.0 loro-crdt@1.17.1 >npm.log 2>&1 || { cat npm.log >&2; exit 1; }
npm ls --depth=0 | sed -n 's/^[+`]-- //p'
cat > notes.js <<'JS'
import { readdirSync, readFileSync } from 'node:fs'
import * as Y from 'yjs'
import { LeveldbPersistence } from 'y-leveldb'
import * as Automerge from '@automerge/automerge'
import { LoroDoc } from 'loro-crdt'

const before = 'Caller asks for a refund. '
const mistake = 'Sarcoidosis, card 4111 1111 1111 1111. '
const tell = (name, bytes) => console.log(`${name}: ${Buffer.from(bytes).includes('Sarcoidosis') ? 'has the deleted words' : 'clean'}`)
const tellFiles = (name) => tell(name, Buffer.concat(readdirSync('store').map((file) => readFileSync('store/' + file))))
const type = (doc) => {
  const notes = doc.getText('notes')
  notes.insert(0, before)
  notes.insert(before.length, mistake)
  notes.delete(before.length, mistake.length)
  notes.insert(before.length, 'Done.')
}

const doc = new Y.Doc()
const updates = []
doc.on('update', (update) => updates.push(update))
type(doc)
console.log('yjs reads:', doc.getText('notes').toString())
tell('yjs, state of the document', Y.encodeStateAsUpdate(doc))
tell('yjs, mergeUpdates', Y.mergeUpdates(updates))
const undoable = new Y.Doc()
const undo = new Y.UndoManager(undoable.getText('notes'))
type(undoable)
tell('yjs with UndoManager, state', Y.encodeStateAsUpdate(undoable))
undo.clear()
tell('yjs with UndoManager cleared, state', Y.encodeStateAsUpdate(undoable))

let store = new LeveldbPersistence('./store')
for (const update of updates) await store.storeUpdate('call', update)
tellFiles('y-leveldb')
await store.flushDocument('call')
tellFiles('y-leveldb after flushDocument')
await store.clearDocument('call')
console.log('y-leveldb after clearDocument reads:', JSON.stringify((await store.getYDoc('call')).getText('notes').toString()))
await store.destroy()
tellFiles('y-leveldb cleared and closed')
store = new LeveldbPersistence('./store')
await store.getYDoc('another call')
await store.destroy()
tellFiles('y-leveldb cleared, opened again and closed')
const fresh = new Y.Doc()
Y.applyUpdate(fresh, Y.mergeUpdates(updates))
tell('yjs, state of a fresh document', Y.encodeStateAsUpdate(fresh))

let tree = Automerge.from({ notes: before })
tree = Automerge.change(tree, (draft) => Automerge.splice(draft, ['notes'], before.length, 0, mistake))
tree = Automerge.change(tree, (draft) => Automerge.splice(draft, ['notes'], before.length, mistake.length, 'Done.'))
console.log('automerge reads:', tree.notes)
tell('automerge, save', Automerge.save(tree))
tell('automerge, save of a clone', Automerge.save(Automerge.clone(tree)))
tell('automerge, save of a new document', Automerge.save(Automerge.from({ notes: tree.notes })))

const loro = new LoroDoc()
type(loro)
loro.commit()
console.log('loro reads:', loro.getText('notes').toString())
tell('loro, snapshot', loro.export({ mode: 'snapshot' }))
tell('loro, shallow snapshot', loro.export({ mode: 'shallow-snapshot', frontiers: loro.frontiers() }))
JS
seen=$(node notes.js)
echo "$seen"
[ "$seen" = 'yjs reads: Caller asks for a refund. Done.
yjs, state of the document: clean
yjs, mergeUpdates: has the deleted words
yjs with UndoManager, state: has the deleted words
yjs with UndoManager cleared, state: has the deleted words
y-leveldb: has the deleted words
y-leveldb after flushDocument: has the deleted words
y-leveldb after clearDocument reads: ""
y-leveldb cleared and closed: has the deleted words
y-leveldb cleared, opened again and closed: has the deleted words
yjs, state of a fresh document: clean
automerge reads: Caller asks for a refund. Done.
automerge, save: has the deleted words
automerge, save of a clone: has the deleted words
automerge, save of a new document: clean
loro reads: Caller asks for a refund. Done.
loro, snapshot: has the deleted words
loro, shallow snapshot: clean' ] || changed "other words are kept"
echo "as described"
