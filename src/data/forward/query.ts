/** A query that the packet cache could not answer. */
import type { Client } from '../../base/ip.ts'
import { keyBits } from '../cache/entry.ts'
import { hashQuestion } from '../cache/hash.ts'
import { Head } from '../serve/admit.ts'
import type { Watch } from './race-context.ts'
import { HEADER } from '../../wire/header.ts'

/** A question independent of the client. */
export type Question = {
  /** A message with the question in the octets [12, questionEnd). */
  readonly wire: Uint8Array
  readonly qnameEnd: number
  readonly questionEnd: number
  readonly qtype: number
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
  /** The name as lower-case text. */
  readonly name: string
  /** Hash of everything that tells questions apart: name, type, DO and CD. */
  readonly hash: number
  /** Its answer is kept only if it is asked for again soon, because its client asks for too much (cache/trial.ts). */
  onTrial: boolean
}

/** The question with its hash. */
export const hashed = (question: Omit<Question, 'hash'>): Question => {
  const { wire, qnameEnd, qtype, dnssecOk, checkingDisabled } = question
  const bits = keyBits(dnssecOk, checkingDisabled)
  return { ...question, hash: hashQuestion(wire, HEADER, qnameEnd, qtype, bits) }
}

/**
 * A client's query. `respond` must be called once, with a response of `length` octets at the start of `bytes`, which
 * it copies.
 */
export type Query = {
  readonly wire: Buffer
  readonly head: Head
  /** Limit of the response in octets: the client's UDP payload size, at most ours, or 65,535. */
  readonly limit: number
  /** Milliseconds on the data thread's clock. */
  readonly receivedAt: number
  respond(bytes: Uint8Array, length: number): void
  /** Metric columns. */
  readonly server: number
  readonly proto: 0 | 1
  readonly family: 0 | 1
  readonly client: Client
  /** The hash of its question. */
  readonly hash: number
  /** See Question. */
  onTrial: boolean
  /** Where it came from; undefined for a query of our own. */
  readonly from: { readonly address: string; readonly port: number } | undefined
  readonly watch: Watch | undefined
}

/**
 * Copies a head, because admission reuses its own. Field by field, because Object.assign takes V8's slow path (2
 * µs).
 */
export const keepHead = (from: Head): Head => {
  const head = new Head()
  head.rcode = from.rcode
  head.ede = from.ede
  head.qnameEnd = from.qnameEnd
  head.questionEnd = from.questionEnd
  head.qtype = from.qtype
  head.qclass = from.qclass
  head.edns = from.edns
  head.dnssecOk = from.dnssecOk
  head.checkingDisabled = from.checkingDisabled
  head.recursionDesired = from.recursionDesired
  head.payload = from.payload
  head.optionsAt = from.optionsAt
  head.optionsEnd = from.optionsEnd
  return head
}
