/**
 * Message type numbers: memberlist's, and Serf's inside memberlist's user messages. User messages from 0x80 on are
 * ours.
 */

/** memberlist's message types. */
export const TYPE = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  checksum: 12,
  error: 13,
  label: 244,
} as const

/** Serf's message types, the first octet of a user message. */
export const SERF = {
  leave: 0,
  join: 1,
  pushPull: 2,
  userEvent: 3,
  query: 4,
  queryResponse: 5,
  conflictResponse: 6,
  keyRequest: 7,
  keyResponse: 8,
  relay: 9,
} as const

/**
 * Our own user messages, sent only to members whose tags announce them:
 *
 *   records  [0xfe] [length] sender's name, then the records' bytes
 *   digest   [0xff] the records' root digest, beside a ping or an ack
 */
export const OURS = { records: 0xfe, digest: 0xff } as const

/** States in a push/pull. */
export const ALIVE = 0
export const SUSPECT = 1
export const DEAD = 2
export const LEFT = 3
export type State = typeof ALIVE | typeof SUSPECT | typeof DEAD | typeof LEFT

/** Limit of a node's name in octets. Serf checks for 128. */
export const NAME_MOST = 255
/** Limit of a node's metadata in octets (memberlist's). */
export const META_MOST = 512
/** Limit of a sent packet in octets (memberlist's LAN default). */
export const PACKET_MOST = 1400
