/**
 * A small DNS client for `query` and `resolvconf`: one query to one server over UDP with retries, and over TCP if
 * the answer is truncated or if TCP is requested. It accepts only responses with its ID and question. The daemon's
 * own client (data/upstream) does much more.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Endpoint, Milliseconds } from '../boundary/messages.ts'
import { codeOf, messageOf } from '../base/error.ts'
import { ipFamily } from '../base/ip.ts'
import { HEADER, id, isResponse, isTruncated, qdcount, RD, CD } from '../wire/header.ts'
import { nameWire, sameName, skipPlainName } from '../wire/name.ts'
import { OPT_LENGTH, putOpt } from '../wire/edns.ts'
import { put16, u16 } from '../wire/octets.ts'

export type QueryOptions = {
  readonly qtype: number
  readonly qclass?: number
  readonly recurse?: boolean
  readonly dnssec?: boolean
  readonly checkingDisabled?: boolean
  /** False sends no OPT record, like old programs. */
  readonly edns?: boolean
}

/** A query with a random ID; undefined if `name` is invalid. */
export const queryWire = (name: string, options: QueryOptions): Buffer | undefined => {
  const qname = nameWire(name)
  if (!qname) return undefined
  const {
    qtype,
    qclass = 1,
    recurse = true,
    dnssec = false,
    checkingDisabled = false,
    edns = true,
  } = options
  const wire = Buffer.alloc(HEADER + qname.length + 4 + (edns ? OPT_LENGTH : 0))
  put16(wire, 0, randomInt(65_536))
  wire[2] = recurse ? RD : 0
  wire[3] = checkingDisabled ? CD : 0
  put16(wire, 4, 1)
  qname.copy(wire, HEADER)
  put16(wire, HEADER + qname.length, qtype)
  put16(wire, HEADER + qname.length + 2, qclass)
  if (edns) {
    put16(wire, 10, 1)
    putOpt(wire, HEADER + qname.length + 4, dnssec)
  }
  return wire
}

/** Whether this response belongs to the query: same ID, and same question if there is one. */
export const answers = (query: Uint8Array, response: Uint8Array): boolean => {
  if (response.length < HEADER || !isResponse(response) || id(response) !== id(query)) return false
  // A server that could not parse the question may leave it out.
  if (qdcount(response) === 0) return true
  const asked = skipPlainName(query, HEADER, query.length)
  const echoed = skipPlainName(response, HEADER, response.length)
  if (qdcount(response) !== 1 || echoed < 0 || echoed + 4 > response.length) return false
  return (
    sameName(query, HEADER, response, HEADER) &&
    u16(query, asked) === u16(response, echoed) &&
    u16(query, asked + 2) === u16(response, echoed + 2)
  )
}

/** The result: a response, or why there is none. */
export type Reply =
  | {
      readonly wire: Buffer
      readonly transport: 'udp' | 'tcp'
      readonly ms: Milliseconds
      readonly attempts: number
    }
  | { readonly silence: string }

export type AskOptions = {
  readonly server: Endpoint
  /** Limit of each attempt. */
  readonly timeout: Milliseconds
  /** Attempts over UDP; TCP is tried once. */
  readonly attempts: number
  readonly tcp?: boolean
  readonly signal?: AbortSignal
}

/** Asks over UDP, or over TCP if requested or if the response is truncated. Never throws. */
export const ask = async (query: Buffer, options: AskOptions): Promise<Reply> => {
  if (options.tcp) return once(overTcp, query, options, 1)
  let last: Reply = { silence: 'not asked' }
  for (let attempt = 1; attempt <= options.attempts; attempt++) {
    last = await once(overUdp, query, options, attempt)
    if (!('wire' in last)) {
      if (options.signal?.aborted) return last
      continue
    }
    if (!isTruncated(last.wire)) return last
    const whole = await once(overTcp, query, options, attempt)
    // A truncated answer is better than none.
    return 'wire' in whole ? whole : last
  }
  return last
}

type Transport = (query: Buffer, server: Endpoint, signal: AbortSignal) => Promise<Buffer>

const once = async (
  transport: Transport,
  query: Buffer,
  { server, timeout, signal }: AskOptions,
  attempts: number,
): Promise<Reply> => {
  const deadline = AbortSignal.timeout(timeout)
  const start = performance.now()
  try {
    const wire = await transport(
      query,
      server,
      signal ? AbortSignal.any([signal, deadline]) : deadline,
    )
    return {
      wire,
      transport: transport === overUdp ? 'udp' : 'tcp',
      ms: performance.now() - start,
      attempts,
    }
  } catch (er) {
    if (signal?.aborted) return { silence: 'interrupted' }
    return { silence: deadline.aborted ? `no response within ${timeout} ms` : sentence(er) }
  }
}

const sentence = (er: unknown): string => {
  const code = codeOf(er)
  if (code === 'ECONNREFUSED') return 'connection refused: nothing listens there'
  if (code === 'ENETUNREACH' || code === 'EHOSTUNREACH' || code === 'EADDRNOTAVAIL')
    return 'the address cannot be reached'
  return messageOf(er)
}

const overUdp: Transport = (query, { address, port }, signal) =>
  new Promise((resolve, reject) => {
    const socket = createSocket(ipFamily(address) === 6 ? 'udp6' : 'udp4')
    const end = (act: () => void): void => {
      signal.removeEventListener('abort', late)
      socket.removeAllListeners()
      // Closing twice throws, and an error event may still follow.
      socket.on('error', () => {})
      socket.close()
      act()
    }
    const late = (): void => end(() => reject(new Error('late')))
    signal.addEventListener('abort', late)
    socket.on('error', er => end(() => reject(er)))
    // A connected socket receives only from this peer, and reports a refused port.
    socket.on('message', wire => answers(query, wire) && end(() => resolve(wire)))
    // If there is no route, this callback gets the error, and sending would throw.
    socket.connect(port, address, (er?: Error) =>
      er ? end(() => reject(er)) : socket.send(query, er => er && end(() => reject(er))),
    )
    if (signal.aborted) late()
  })

const overTcp: Transport = (query, { address, port }, signal) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port })
    let had = Buffer.alloc(0)
    const end = (act: () => void): void => {
      signal.removeEventListener('abort', late)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
      act()
    }
    const late = (): void => end(() => reject(new Error('late')))
    signal.addEventListener('abort', late)
    socket.on('error', er => end(() => reject(er)))
    socket.on('close', () => end(() => reject(new Error('the server closed the connection'))))
    socket.on('data', chunk => {
      had = Buffer.concat([had, chunk])
      if (had.length < 2 || had.length < 2 + had.readUInt16BE(0)) return
      const wire = had.subarray(2, 2 + had.readUInt16BE(0))
      end(() =>
        answers(query, wire)
          ? resolve(wire)
          : reject(new Error('the response is to another query')),
      )
    })
    const frame = Buffer.alloc(2 + query.length)
    put16(frame, 0, query.length)
    query.copy(frame, 2)
    socket.write(frame)
    if (signal.aborted) late()
  })
