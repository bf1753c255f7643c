/** A query that came alone: over TCP, or one of our own. */
import type { Client } from '../../base/ip.ts'
import { keepHead, type Query } from '../forward/query.ts'
import type { Watch } from '../forward/race-context.ts'
import type { Head } from './admit.ts'
import { MOST } from './respond.ts'
import type { From } from './tcp/connection.ts'

/**
 * The query, for the time until it is answered. A separate function, because closures in Front.single would also be
 * created for hits.
 */
export const singleQuery = (
  wire: Buffer,
  head: Head,
  receivedAt: number,
  server: number,
  family: 0 | 1,
  respond: (response: Uint8Array) => void,
  watch: Watch | undefined,
  client: Client,
  hash: number,
  from: From | undefined,
): Query => ({
  wire,
  head: keepHead(head),
  limit: MOST,
  receivedAt,
  respond: (bytes, length) => respond(bytes.subarray(0, length)),
  server,
  proto: 1,
  family,
  client,
  onTrial: false,
  hash,
  from,
  watch,
})
