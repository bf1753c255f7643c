/**
 * Serf's messages, which are memberlist user messages: a type octet and a map. serf-state.ts handles the push/pull.
 *
 * This file is long, because it is a list: a reader and a writer for each message.
 */
import { addressBytes, addressText } from './address.ts'
import { Reader } from './msgpack.ts'
import { Writer } from './writer.ts'
import { NAME_MOST, SERF } from './types.ts'

/** A Lamport time. Larger values are capped at 2^53, which the clocks refuse. */
export type LamportTime = number
const LTIME = Number.MAX_SAFE_INTEGER
const U32 = 0xffff_ffff
/** Limit of an event's or query's name or payload in octets (Serf's own limit). */
export const EVENT_MOST = 9 * 1024
/** Limit of an encoded query, and of a response, in octets. */
export const QUERY_MOST = 1024

export type Intent = { readonly ltime: LamportTime; readonly node: string; readonly prune: boolean }
export type UserEvent = {
  readonly ltime: LamportTime
  readonly name: string
  readonly payload: Uint8Array
  readonly coalesce: boolean
}
export type Query = {
  readonly ltime: LamportTime
  readonly id: number
  readonly address: string
  readonly port: number
  readonly source: string
  readonly filters: readonly Uint8Array[]
  readonly flags: number
  readonly relayFactor: number
  /** Milliseconds from delivery to the last response that counts. */
  readonly timeout: number
  readonly name: string
  readonly payload: Uint8Array
}
export const FLAG_ACK = 1
export const FLAG_NO_BROADCAST = 2
export type QueryResponse = {
  readonly ltime: LamportTime
  readonly id: number
  readonly from: string
  readonly flags: number
  readonly payload: Uint8Array
}
export type KeyResponse = {
  readonly result: boolean
  readonly message: string
  readonly keys: readonly string[]
  readonly primary: string
}

const NONE = new Uint8Array(0)

const fields = (r: Reader, field: (key: string) => boolean): boolean => {
  for (let n = r.map(); n > 0 && r.ok; n--) if (!field(r.key())) r.skip()
  return r.ok
}

/** A join or a leave intent. */
export const readIntent = (body: Uint8Array): Intent | undefined => {
  const r = new Reader(body)
  let ltime = 0,
    node = '',
    prune = false
  const ok = fields(r, key => {
    if (key === 'LTime') ltime = r.uint(LTIME)
    else if (key === 'Node') node = r.text(NAME_MOST)
    else if (key === 'Prune') prune = r.bool()
    else return false
    return true
  })
  return ok && node !== '' ? { ltime, node, prune } : undefined
}

export const writeIntent = (type: typeof SERF.join | typeof SERF.leave, intent: Intent): Buffer => {
  const w = new Writer()
    .u8(type)
    .map(type === SERF.leave ? 3 : 2)
    .text('LTime')
    .int(intent.ltime)
    .text('Node')
    .text(intent.node)
  return (type === SERF.leave ? w.text('Prune').bool(intent.prune) : w).done()
}

export const readUserEvent = (body: Uint8Array): UserEvent | undefined => {
  const r = new Reader(body)
  let ltime = 0,
    name = '',
    coalesce = false
  let payload: Uint8Array = NONE
  const ok = fields(r, key => {
    if (key === 'LTime') ltime = r.uint(LTIME)
    else if (key === 'Name') name = r.text(EVENT_MOST)
    else if (key === 'Payload') payload = r.raw(EVENT_MOST)
    else if (key === 'CC') coalesce = r.bool()
    else return false
    return true
  })
  return ok ? { ltime, name, payload, coalesce } : undefined
}

export const writeUserEvent = (event: UserEvent): Buffer =>
  new Writer(64 + event.payload.length)
    .u8(SERF.userEvent)
    .map(4)
    .text('CC')
    .bool(event.coalesce)
    .text('LTime')
    .int(event.ltime)
    .text('Name')
    .text(event.name)
    .text('Payload')
    .raw(event.payload)
    .done()

export const readQuery = (body: Uint8Array): Query | undefined => {
  const r = new Reader(body)
  let ltime = 0,
    id = 0,
    address = '',
    port = 0,
    source = '',
    flags = 0,
    relayFactor = 0,
    timeout = 0,
    name = ''
  let payload: Uint8Array = NONE
  const filters: Uint8Array[] = []
  const ok = fields(r, key => {
    switch (key) {
      case 'LTime':
        ltime = r.uint(LTIME)
        return true
      case 'ID':
        id = r.uint(U32)
        return true
      case 'Addr':
        address = addressText(r.raw(16))
        return true
      case 'Port':
        port = r.uint(0xffff)
        return true
      case 'SourceNode':
        source = r.text(NAME_MOST)
        return true
      case 'Filters':
        for (let n = r.array(64); n > 0 && r.ok; n--) filters.push(r.raw(QUERY_MOST))
        return true
      case 'Flags':
        flags = r.uint(U32)
        return true
      case 'RelayFactor':
        relayFactor = r.uint(255)
        return true
      case 'Timeout':
        timeout = r.int() / 1e6
        return true
      case 'Name':
        name = r.text(QUERY_MOST)
        return true
      case 'Payload':
        payload = r.raw(QUERY_MOST)
        return true
    }
    return false
  })
  return ok
    ? { ltime, id, address, port, source, filters, flags, relayFactor, timeout, name, payload }
    : undefined
}

export const writeQuery = (q: Query): Buffer => {
  const w = new Writer(256)
    .u8(SERF.query)
    .map(11)
    .text('Addr')
    .raw(addressBytes(q.address))
    .text('Filters')
  if (q.filters.length === 0) w.nil()
  else w.array(q.filters.length)
  for (const filter of q.filters) w.raw(filter)
  w.text('Flags')
    .int(q.flags)
    .text('ID')
    .int(q.id)
    .text('LTime')
    .int(q.ltime)
    .text('Name')
    .text(q.name)
    .text('Payload')
  if (q.payload.length === 0) w.nil()
  else w.raw(q.payload)
  return w
    .text('Port')
    .int(q.port)
    .text('RelayFactor')
    .int(q.relayFactor)
    .text('SourceNode')
    .text(q.source)
    .text('Timeout')
    .int(Math.round(q.timeout) * 1e6)
    .done()
}

export const readQueryResponse = (body: Uint8Array): QueryResponse | undefined => {
  const r = new Reader(body)
  let ltime = 0,
    id = 0,
    from = '',
    flags = 0
  let payload: Uint8Array = NONE
  const ok = fields(r, key => {
    if (key === 'LTime') ltime = r.uint(LTIME)
    else if (key === 'ID') id = r.uint(U32)
    else if (key === 'From') from = r.text(NAME_MOST)
    else if (key === 'Flags') flags = r.uint(U32)
    else if (key === 'Payload') payload = r.raw(16 * 1024)
    else return false
    return true
  })
  return ok ? { ltime, id, from, flags, payload } : undefined
}

export const writeQueryResponse = (q: QueryResponse): Buffer =>
  new Writer(96 + q.payload.length)
    .u8(SERF.queryResponse)
    .map(5)
    .text('Flags')
    .int(q.flags)
    .text('From')
    .text(q.from)
    .text('ID')
    .int(q.id)
    .text('LTime')
    .int(q.ltime)
    .text('Payload')
    .raw(q.payload)
    .done()

/** The names in a node filter (type octet 0), or undefined. */
export const readNodeFilter = (body: Uint8Array): string[] | undefined => {
  const r = new Reader(body)
  const names: string[] = []
  for (let n = r.array(QUERY_MOST); n > 0 && r.ok; n--) names.push(r.text(NAME_MOST))
  return r.ok ? names : undefined
}

/** The tag and the regular expression in a tag filter (type octet 1), or undefined. */
export const readTagFilter = (
  body: Uint8Array,
): { tag: string; expression: string } | undefined => {
  const r = new Reader(body)
  let tag = '',
    expression = ''
  const ok = fields(r, key => {
    if (key === 'Tag') tag = r.text(QUERY_MOST)
    else if (key === 'Expr') expression = r.text(QUERY_MOST)
    else return false
    return true
  })
  return ok ? { tag, expression } : undefined
}

/** The key in a key request (type octet included); empty for a list request, undefined if malformed. */
export const readKeyRequest = (bytes: Uint8Array): Uint8Array | undefined => {
  if (bytes[0] !== SERF.keyRequest) return undefined
  const r = new Reader(bytes, 1)
  let wanted: Uint8Array = NONE
  const ok = fields(r, name => {
    if (name !== 'Key') return false
    wanted = r.raw(64)
    return true
  })
  return ok ? wanted : undefined
}

export const writeKeyRequest = (wanted: Uint8Array): Buffer =>
  new Writer(64).u8(SERF.keyRequest).map(1).text('Key').raw(wanted).done()

/** One member's response to a key query (type octet included), or undefined. */
export const readKeyResponse = (bytes: Uint8Array): KeyResponse | undefined => {
  if (bytes[0] !== SERF.keyResponse) return undefined
  const r = new Reader(bytes, 1)
  let result = false,
    message = '',
    primary = ''
  const keys: string[] = []
  const ok = fields(r, name => {
    if (name === 'Result') result = r.bool()
    else if (name === 'Message') message = r.text(QUERY_MOST)
    else if (name === 'PrimaryKey') primary = r.text(64)
    else if (name === 'Keys') for (let n = r.array(64); n > 0 && r.ok; n--) keys.push(r.text(64))
    else return false
    return true
  })
  return ok ? { result, message, keys, primary } : undefined
}

export const writeKeyResponse = (k: KeyResponse): Buffer => {
  const w = new Writer(256).u8(SERF.keyResponse).map(4).text('Keys').array(k.keys.length)
  for (const one of k.keys) w.text(one)
  return w
    .text('Message')
    .text(k.message)
    .text('PrimaryKey')
    .text(k.primary)
    .text('Result')
    .bool(k.result)
    .done()
}

/** A message wrapped for another member: its destination and its bytes. */
export const readRelay = (
  body: Uint8Array,
): { address: string; port: number; name: string; message: Uint8Array } | undefined => {
  const r = new Reader(body)
  let address = '',
    port = 0,
    name = ''
  const ok = fields(r, key => {
    if (key === 'DestName') name = r.text(NAME_MOST)
    else if (key === 'DestAddr') {
      fields(r, part => {
        if (part === 'IP') address = addressText(r.raw(16))
        else if (part === 'Port') port = r.uint(0xffff)
        else return false
        return true
      })
    } else return false
    return true
  })
  return ok ? { address, port, name, message: body.subarray(r.at) } : undefined
}

/** What `writeMember` and Serf write: the address of a member; undefined if it is invalid. */
export const readMember = (bytes: Uint8Array): { address: string; port: number } | undefined => {
  if (bytes[0] !== SERF.conflictResponse) return undefined
  const r = new Reader(bytes.subarray(1))
  let address = ''
  let port = 0
  const ok = fields(r, key => {
    if (key === 'Addr') address = addressText(r.raw(16))
    else if (key === 'Port') port = r.uint(0xffff)
    else return false
    return true
  })
  return ok && address !== '' && port > 0 ? { address, port } : undefined
}

/** Our entry for a member, in answer to a query about a name conflict. */
export const writeMember = (node: { name: string; address: string; port: number }): Buffer =>
  new Writer()
    .u8(SERF.conflictResponse)
    .map(3)
    .text('Addr')
    .raw(addressBytes(node.address))
    .text('Name')
    .text(node.name)
    .text('Port')
    .int(node.port)
    .done()
