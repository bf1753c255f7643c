/** Types, classes, opcodes and RCODEs that the program refers to (IANA DNS parameters). */

export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  RRSIG: 46,
  NSEC: 47,
  NSEC3: 50,
  HTTPS: 65,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  MAILB: 253,
  MAILA: 254,
  ANY: 255,
} as const

export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const

export const OPCODE = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5 } as const

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  /** Extended (RFC 6891 §6.1.3): its upper bits travel in the OPT record. */
  BADVERS: 16,
} as const

/** Extended DNS Errors that spartan sends (RFC 8914 §4). */
export const EDE = {
  OTHER: 0,
  STALE: 3,
  CACHED_ERROR: 13,
  NOT_READY: 14,
  PROHIBITED: 18,
  STALE_NXDOMAIN: 19,
  NOT_AUTHORITATIVE: 20,
  NOT_SUPPORTED: 21,
  NO_REACHABLE_AUTHORITY: 22,
  NETWORK_ERROR: 23,
} as const

const TYPE_NAMES = new Map<number, string>(Object.entries(TYPE).map(([name, n]) => [n, name]))
for (const [n, name] of [
  [18, 'AFSDB'],
  [35, 'NAPTR'],
  [43, 'DS'],
  [44, 'SSHFP'],
  [48, 'DNSKEY'],
  [52, 'TLSA'],
  [64, 'SVCB'],
  [99, 'SPF'],
  [256, 'URI'],
  [257, 'CAA'],
] as const) {
  TYPE_NAMES.set(n, name)
}
const TYPE_NUMBERS = new Map([...TYPE_NAMES].map(([n, name]) => [name, n]))

/** 'A' for 1. A type without a name is written as in RFC 3597 §5: 'TYPE65280'. */
export const typeName = (type: number): string => TYPE_NAMES.get(type) ?? `TYPE${type}`

/** The number of 'a', 'SRV' or 'TYPE65280'; undefined if the text is not a type. */
export const typeNumber = (name: string): number | undefined => {
  const upper = name.toUpperCase()
  const known = TYPE_NUMBERS.get(upper)
  if (known !== undefined) return known
  const n = /^TYPE(\d{1,5})$/.exec(upper)?.[1]
  return n !== undefined && Number(n) < 65536 ? Number(n) : undefined
}

const RCODE_NAMES = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
]
export const rcodeName = (rcode: number): string =>
  RCODE_NAMES[rcode] ?? (rcode === RCODE.BADVERS ? 'BADVERS' : `RCODE${rcode}`)
