/**
 * VIPs from files, for use without Mesos. One YAML (or JSON) file:
 *
 *   framework: web                # default for the entries below
 *   vips:
 *     - vip: /redis:6379          # as in a Mesos label; or an address: 192.0.2.10:80
 *       framework: cache          # the name is redis.cache.l4lb.thisdcos.directory
 *       protocol: tcp             # tcp (default) or udp
 *       backends:
 *         - 10.0.0.11:31000       # address:port, [v6]:port
 *         - { address: 10.0.0.12:31000, weight: 0 }
 *
 * A file is taken whole or not at all: one mistake and the file's last good
 * content stays in use, and the complaint says line and column.
 */
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type YAMLMap } from 'yaml'
import { fail, messageOf, type Coded } from '../base/error.ts'
import { canonicalIp, familyOf } from '../base/ip.ts'
import { parseVip } from './label.ts'
import { MAX_WEIGHT, VipCollector, type Backend, type Protocol, type VipRecord } from './record.ts'

/** Why a file cannot be used, and where its first mistake is; lines and columns from 1. */
export type FileProblem = { readonly line: number; readonly column: number; readonly why: string }

export type ParsedFile =
  { readonly records: readonly VipRecord[] } | { readonly problem: FileProblem }

/** Creates the error that stops the parsing at the first mistake. */
const mistake = (why: string, node: unknown): Coded =>
  fail(why, 'EDATA', { at: (node as Node | null)?.range?.[0] ?? 0 })

const stringOf = (map: YAMLMap, key: string): { value: string; node: unknown } | undefined => {
  const node = map.get(key, true)
  if (node === undefined) return undefined
  // a number without quotes is refused, because YAML would change 0x10 or 1e3
  if (!isScalar(node) || typeof node.value !== 'string') throw mistake(`${key} must be text`, node)
  return { value: node.value, node }
}

const onlyKeys = (map: YAMLMap, allowed: readonly string[]): void => {
  for (const { key } of map.items) {
    const name = isScalar(key) ? String(key.value) : ''
    if (!allowed.includes(name))
      throw mistake(`'${name}' is no key here; there are ${allowed.join(', ')}`, key)
  }
}

/** '10.0.0.11:31000' or '[fd01::1]:31000' */
const parseEndpoint = (text: string): { ip: string; port: number } | undefined => {
  const colon = text.lastIndexOf(':')
  const digits = text.slice(colon + 1)
  const host = text.slice(0, Math.max(0, colon))
  const bracketed = host.startsWith('[') && host.endsWith(']')
  const ip = canonicalIp(bracketed ? host.slice(1, -1) : host)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  // without brackets, the end of an IPv6 address would look like a port
  if (ip === '' || (familyOf(ip) === 6) !== bracketed || port < 1 || port > 65_535) return undefined
  return { ip, port }
}

const backendOf = (node: unknown): Backend => {
  const entry = isMap(node) ? node : undefined
  if (entry) onlyKeys(entry, ['address', 'weight'])
  const address = entry
    ? stringOf(entry, 'address')?.value
    : isScalar(node)
      ? node.value
      : undefined
  const endpoint = typeof address === 'string' ? parseEndpoint(address) : undefined
  if (!endpoint)
    throw mistake('a backend is address:port, as 10.0.0.11:31000 or "[fd01::1]:31000"', node)
  const weight: unknown = entry?.get('weight') ?? 1
  if (
    typeof weight !== 'number' ||
    !Number.isInteger(weight) ||
    weight < 0 ||
    weight > MAX_WEIGHT
  ) {
    throw mistake(
      `weight must be a whole number from 0 to ${MAX_WEIGHT}`,
      entry?.get('weight', true) ?? node,
    )
  }
  return { ...endpoint, weight }
}

const protocolOf = (map: YAMLMap): Protocol => {
  const said = stringOf(map, 'protocol')
  const protocol = said?.value.toLowerCase() ?? 'tcp'
  if (protocol !== 'tcp' && protocol !== 'udp')
    throw mistake('protocol must be tcp or udp', said?.node)
  return protocol
}

const addEntry = (node: unknown, framework: string, to: VipCollector): void => {
  if (!isMap(node)) throw mistake('an entry of vips has the keys vip and backends', node)
  onlyKeys(node, ['vip', 'framework', 'protocol', 'backends'])
  const said = stringOf(node, 'vip')
  if (!said) throw mistake('vip is missing', node)
  const vip = parseVip(said.value, stringOf(node, 'framework')?.value ?? framework)
  if ('wrong' in vip) {
    const hint = framework === '' && !node.has('framework') ? ' (has it a framework?)' : ''
    throw mistake(`'${said.value}' is no VIP: ${vip.wrong}${hint}`, said.node)
  }
  const list = node.get('backends', true)
  if (!isSeq(list)) throw mistake('backends must be a list', list ?? node)
  const backends = list.items.map(backendOf)
  const family = familyOf(vip.ip)
  if (family !== 0 && backends.some(b => familyOf(b.ip) !== family)) {
    throw mistake('backends of a VIP with an address must be of its family', list)
  }
  to.add({ protocol: protocolOf(node), ...vip }, backends)
}

/** The VIPs that a file declares, or its first mistake. Never throws. */
export const parseVipFile = (text: string): ParsedFile => {
  const lines = new LineCounter()
  const problem = (why: string, at: number): ParsedFile => {
    const { line, col } = lines.linePos(at)
    return { problem: { line: Math.max(1, line), column: Math.max(1, col), why } }
  }
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
  })
  const error = document.errors[0]
  if (error) return problem(error.message, error.pos[0])
  const root: unknown = document.contents
  // an empty file declares no VIPs
  if (root === null || (isScalar(root) && root.value === null)) return { records: [] }
  const collector = new VipCollector()
  try {
    if (!isMap(root)) throw mistake('the file must have the keys vips and framework', root)
    onlyKeys(root, ['framework', 'vips'])
    const framework = stringOf(root, 'framework')?.value ?? ''
    const vips = root.get('vips', true)
    const none = vips === undefined || (isScalar(vips) && vips.value === null)
    if (!none && !isSeq(vips)) throw mistake('vips must be a list', vips)
    if (isSeq(vips)) for (const entry of vips.items) addEntry(entry, framework, collector)
  } catch (er) {
    return problem(messageOf(er), (er as { at?: number }).at ?? 0)
  }
  return { records: collector.records() }
}
