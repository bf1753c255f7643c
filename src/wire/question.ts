/** Queries that we send upstream: our own header and OPT around the client's question. */
import { TYPE } from './codes.ts'
import { OPT_LENGTH, putOpt } from './edns.ts'
import { CD, HEADER, RD } from './header.ts'
import { FOLD } from './name.ts'

/**
 * A query for the question in wire[HEADER, questionEnd). The name is in lower case, so that all clients can
 * share the query. The ID is zero; the exchange fills it in.
 */
export const upstreamQuery = (
  wire: Uint8Array,
  questionEnd: number,
  dnssecOk: boolean,
  checkingDisabled: boolean,
  edns = true,
): Buffer => {
  const out = Buffer.allocUnsafe(questionEnd + (edns ? OPT_LENGTH : 0))
  out.fill(0, 0, HEADER)
  out[2] = RD
  out[3] = checkingDisabled ? CD : 0
  out[5] = 1
  for (let i = HEADER; i < questionEnd - 4; i++) out[i] = FOLD[wire[i]!]!
  for (let i = questionEnd - 4; i < questionEnd; i++) out[i] = wire[i]!
  if (edns) {
    out[11] = 1
    putOpt(out, questionEnd, dnssecOk)
  }
  return out
}

/** The same query without its OPT. */
export const withoutEdns = (query: Buffer): Buffer => {
  const out = Buffer.from(query.subarray(0, query.length - OPT_LENGTH))
  out[11] = 0
  return out
}

/** Whether a query from upstreamQuery has an OPT. */
export const hasEdns = (query: Buffer): boolean => query[11] === 1

/** Whether a query from upstreamQuery asks for DNSSEC records (DO=1). */
export const wantsDnssec = (query: Buffer): boolean =>
  hasEdns(query) && (query[query.length - 4]! & 0x80) !== 0

/** A complete query for probes, from a name as octets and a type. */
export const plainQuery = (name: Uint8Array, qtype: number): Buffer => {
  const wire = Buffer.alloc(HEADER + name.length + 4)
  wire.set(name, HEADER)
  wire.writeUInt16BE(qtype, HEADER + name.length)
  wire.writeUInt16BE(1, HEADER + name.length + 2)
  return upstreamQuery(wire, wire.length, false, false, qtype !== TYPE.OPT)
}
