/**
 * memberlist's messages: a type octet and a map keyed by field name. Unknown fields are skipped, missing ones are
 * zero, and a malformed message gives undefined.
 *
 * This file is long, because it is a list: a reader and a writer for each message.
 */
import { addressBytes, addressText } from './address.ts'
import { Reader } from './msgpack.ts'
import { Writer } from './writer.ts'
import { META_MOST, NAME_MOST, type State, TYPE } from './types.ts'

const U32 = 0xffff_ffff

/** The address for direct answers; name '' and port 0 if the sender did not include it. */
export type Source = { readonly address: string; readonly port: number; readonly name: string }
export type Ping = { readonly seq: number; readonly node: string; readonly source: Source }
export type IndirectPing = Ping & {
  readonly target: string
  readonly port: number
  readonly nack: boolean
}
export type Ack = { readonly seq: number; readonly payload: Uint8Array }
/** A claim that `node` failed (suspect) or is gone (dead). If a node accuses itself, it left on purpose. */
export type Accusation = {
  readonly incarnation: number
  readonly node: string
  readonly from: string
}
/** `versions`: protocol min, max, current; then the same for Serf. */
export type Alive = {
  readonly incarnation: number
  readonly node: string
  readonly address: string
  readonly port: number
  readonly meta: Uint8Array
  readonly versions: Uint8Array
}
export type NodeState = Alive & { readonly state: State }
export type PushPullHead = {
  readonly nodes: number
  readonly userLength: number
  readonly join: boolean
}

const NONE = new Uint8Array(0)

/** Reads the fields of a struct through `field`, which returns false for an unknown name. */
const fields = (r: Reader, field: (key: string) => boolean): boolean => {
  for (let n = r.map(); n > 0 && r.ok; n--) if (!field(r.key())) r.skip()
  return r.ok
}

/** The address in a raw value; a wrong length is BAD. */
const address = (r: Reader): string => {
  const bytes = r.raw(16)
  const text = addressText(bytes)
  if (text === '' && bytes.length > 0) r.bad()
  return text
}

/** Reads a ping, or an indirect ping, which has additional fields. */
export const readPing = (body: Uint8Array): IndirectPing | undefined => {
  const r = new Reader(body)
  let seq = 0,
    node = '',
    target = '',
    port = 0,
    nack = false
  let sourceAddress = '',
    sourcePort = 0,
    sourceName = ''
  const ok = fields(r, key => {
    switch (key) {
      case 'SeqNo':
        seq = r.uint(U32)
        return true
      case 'Node':
        node = r.text(NAME_MOST)
        return true
      case 'Target':
        target = address(r)
        return true
      case 'Port':
        port = r.uint(0xffff)
        return true
      case 'Nack':
        nack = r.bool()
        return true
      case 'SourceAddr':
        sourceAddress = address(r)
        return true
      case 'SourcePort':
        sourcePort = r.uint(0xffff)
        return true
      case 'SourceNode':
        sourceName = r.text(NAME_MOST)
        return true
    }
    return false
  })
  const source = { address: sourceAddress, port: sourcePort, name: sourceName }
  return ok ? { seq, node, target, port, nack, source } : undefined
}

/** Reads an ack or a nack. */
export const readAck = (body: Uint8Array): Ack | undefined => {
  const r = new Reader(body)
  let seq = 0
  let payload: Uint8Array = NONE
  const ok = fields(r, key => {
    if (key === 'SeqNo') seq = r.uint(U32)
    else if (key === 'Payload') payload = r.raw(1024)
    else return false
    return true
  })
  return ok ? { seq, payload } : undefined
}

/** Reads a suspect or a dead message. */
export const readAccusation = (body: Uint8Array): Accusation | undefined => {
  const r = new Reader(body)
  let incarnation = 0,
    node = '',
    from = ''
  const ok = fields(r, key => {
    if (key === 'Incarnation') incarnation = r.uint(U32)
    else if (key === 'Node') node = r.text(NAME_MOST)
    else if (key === 'From') from = r.text(NAME_MOST)
    else return false
    return true
  })
  return ok && node !== '' ? { incarnation, node, from } : undefined
}

/** Reads an alive message, or one node's state in a push/pull; leaves the reader behind it. */
export const readState = (r: Reader): NodeState | undefined => {
  let incarnation = 0,
    node = '',
    at = '',
    port = 0,
    state = 0
  let meta: Uint8Array = NONE
  let versions: Uint8Array = NONE
  const ok = fields(r, key => {
    switch (key) {
      case 'Incarnation':
        incarnation = r.uint(U32)
        return true
      case 'Node':
      case 'Name':
        node = r.text(NAME_MOST)
        return true
      case 'Addr':
        at = address(r)
        return true
      case 'Port':
        port = r.uint(0xffff)
        return true
      case 'Meta':
        meta = r.raw(META_MOST)
        return true
      case 'Vsn':
        versions = r.raw(16)
        return true
      case 'State':
        state = r.uint(3)
        return true
    }
    return false
  })
  return ok
    ? { incarnation, node, address: at, port, meta, versions, state: state as State }
    : undefined
}

/** Reads the head of a push/pull; leaves the reader at the first state. */
export const readPushPullHead = (
  r: Reader,
  mostNodes: number,
  mostUser: number,
): PushPullHead | undefined => {
  let nodes = 0,
    userLength = 0,
    join = false
  const ok = fields(r, key => {
    if (key === 'Nodes') nodes = r.uint(mostNodes)
    else if (key === 'UserStateLen') userLength = r.uint(mostUser)
    else if (key === 'Join') join = r.bool()
    else return false
    return true
  })
  return ok ? { nodes, userLength, join } : undefined
}

/** Reads the length in a stream's user message; leaves the reader at its octets. */
export const readUserHead = (r: Reader, most: number): number | undefined => {
  let length = 0
  const ok = fields(r, key => {
    if (key !== 'UserMsgLen') return false
    length = r.uint(most)
    return true
  })
  return ok ? length : undefined
}

/** The text of an error message; '' if it is malformed. */
export const readError = (body: Uint8Array): string => {
  const r = new Reader(body)
  let error = ''
  fields(r, key => {
    if (key !== 'Error') return false
    error = r.raw(512).toString('latin1')
    return true
  })
  return error
}

/** Reads the head of a compressed message; leaves the reader at the LZW data, whose length is returned. */
export const readCompressHead = (r: Reader, most: number): number | undefined => {
  // every known sender writes the two fields in this order, and the second is as long as the stream
  let length: number | undefined
  let algorithm = 0
  for (let n = r.map(4); n > 0 && r.ok && length === undefined; n--) {
    const key = r.key()
    if (key === 'Algo') algorithm = r.uint(255)
    else if (key === 'Buf') length = r.rawLength(most)
    else r.skip()
  }
  if (r.ok && (algorithm !== 0 || length === undefined)) r.bad()
  return r.ok ? length : undefined
}

// Fields are written in alphabetical order, like go-msgpack does, so that the bytes equal serf's.

const source = (w: Writer, from: Source): Writer =>
  w
    .text('SourceAddr')
    .raw(addressBytes(from.address))
    .text('SourceNode')
    .text(from.name)
    .text('SourcePort')
    .int(from.port)

export const writePing = (seq: number, node: string, from: Source): Buffer =>
  source(
    new Writer().u8(TYPE.ping).map(5).text('Node').text(node).text('SeqNo').int(seq),
    from,
  ).done()

export const writeIndirectPing = (ping: IndirectPing): Buffer =>
  source(
    new Writer(192)
      .u8(TYPE.indirectPing)
      .map(8)
      .text('Nack')
      .bool(ping.nack)
      .text('Node')
      .text(ping.node)
      .text('Port')
      .int(ping.port)
      .text('SeqNo')
      .int(ping.seq),
    ping.source,
  )
    .text('Target')
    .raw(addressBytes(ping.target))
    .done()

/** Without payload; serf then assumes that this member has no network coordinates. */
export const writeAck = (seq: number): Buffer =>
  new Writer(32).u8(TYPE.ack).map(2).text('Payload').nil().text('SeqNo').int(seq).done()

export const writeNack = (seq: number): Buffer =>
  new Writer(32).u8(TYPE.nack).map(1).text('SeqNo').int(seq).done()

export const writeAccusation = (
  type: typeof TYPE.suspect | typeof TYPE.dead,
  a: Accusation,
): Buffer =>
  new Writer()
    .u8(type)
    .map(3)
    .text('From')
    .text(a.from)
    .text('Incarnation')
    .int(a.incarnation)
    .text('Node')
    .text(a.node)
    .done()

export const writeAlive = (a: Alive): Buffer =>
  new Writer(192)
    .u8(TYPE.alive)
    .map(6)
    .text('Addr')
    .raw(addressBytes(a.address))
    .text('Incarnation')
    .int(a.incarnation)
    .text('Meta')
    .raw(a.meta)
    .text('Node')
    .text(a.node)
    .text('Port')
    .int(a.port)
    .text('Vsn')
    .raw(a.versions)
    .done()

/** One node's state in a push/pull. */
export const writeState = (s: NodeState): Buffer =>
  new Writer(192)
    .map(7)
    .text('Addr')
    .raw(addressBytes(s.address))
    .text('Incarnation')
    .int(s.incarnation)
    .text('Meta')
    .raw(s.meta)
    .text('Name')
    .text(s.node)
    .text('Port')
    .int(s.port)
    .text('State')
    .int(s.state)
    .text('Vsn')
    .raw(s.versions)
    .done()

export const writePushPullHead = (head: PushPullHead): Buffer =>
  new Writer(64)
    .u8(TYPE.pushPull)
    .map(3)
    .text('Join')
    .bool(head.join)
    .text('Nodes')
    .int(head.nodes)
    .text('UserStateLen')
    .int(head.userLength)
    .done()

/** A user message for a stream, preceded by its length. */
export const writeStreamUser = (body: Uint8Array): Buffer =>
  new Writer(32 + body.length)
    .u8(TYPE.user)
    .map(1)
    .text('UserMsgLen')
    .int(body.length)
    .bytes(body)
    .done()
