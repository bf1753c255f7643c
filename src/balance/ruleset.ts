/**
 * Rules as scripts for `nft -f -`: a complete replacement of both tables in one transaction, or the difference
 * between two states. Pure.
 *
 * For each family, the map `service` leads a service with W slots to the chain `tcpW` or `udpW`. The chain picks a
 * slot, and one map of all slots of that protocol contains the backend. There are few large maps and few chains,
 * because nft reads every set of a table before each change. Chains are never deleted: some kernels refuse that
 * right after the element that led to them was removed.
 */
import type { Protocol } from '../vip/record.ts'
import type { Family, Rules, Service } from './services.ts'

export const TABLE = 'spartan_balance'
export const FAMILIES: readonly Family[] = [4, 6]
export const nftFamily = (family: Family): 'ip' | 'ip6' => (family === 4 ? 'ip' : 'ip6')
const PROTOCOLS = ['tcp', 'udp'] as const
/** Limit of elements in one command; nft reads one line at a time. */
const PER_LINE = 200

export type Layout = {
  /** Prefixes of VIP addresses by family. */
  readonly prefixes: Readonly<Record<Family, readonly string[]>>
  readonly affinity: 'none' | 'client'
  readonly ipv6: boolean
}

/** What is in the kernel: the rules, and all chains that were ever needed. */
export type Programmed = { readonly rules: Rules; readonly chains: ReadonlySet<string> }

const families = ({ ipv6 }: Layout): readonly Family[] => (ipv6 ? FAMILIES : [4])

const chainOf = ({ protocol, slots }: Service): string => `${protocol}${slots.length}`

/** Elements of sets and maps, as commands of limited length. */
const elements = (verb: 'add' | 'delete', into: string, all: readonly string[]): string[] => {
  const lines: string[] = []
  for (let at = 0; at < all.length; at += PER_LINE)
    lines.push(`${verb} element ${into} { ${all.slice(at, at + PER_LINE).join(', ')} }`)
  return lines
}

/** The fixed part of one family's table. */
const skeleton = (family: Family, { prefixes }: Layout): string[] => {
  const ip = nftFamily(family)
  const [add, address] = [`${ip} ${TABLE}`, `ipv${family}_addr`]
  const range = `{ ${prefixes[family].join(', ')} }`
  const fresh = `ct state new ${ip} daddr`
  const unreachable = family === 4 ? 'icmp port-unreachable' : 'icmpv6 port-unreachable'
  return [
    `add map ${add} service { type ${address} . inet_proto . inet_service : verdict; }`,
    ...PROTOCOLS.map(
      protocol =>
        `add map ${add} ${protocol}_slots { typeof ${ip} daddr . ${protocol} dport . numgen random mod 2 : ${ip} daddr . ${protocol} dport; }`,
    ),
    `add set ${add} refused { type ${address} . inet_proto . inet_service; }`,
    `add set ${add} self { type ${address} . ${address}; }`,
    `add set ${add} links { type ifname . ifname; }`,
    `add chain ${add} prerouting { type nat hook prerouting priority -100; }`,
    `add chain ${add} output { type nat hook output priority -100; }`,
    `add chain ${add} postrouting { type nat hook postrouting priority 100; }`,
    ...['prerouting', 'output'].map(
      chain => `add rule ${add} ${chain} ${ip} daddr . meta l4proto . th dport vmap @service`,
    ),
    // A container that connects to itself, or to a sibling behind the same link: masquerading makes the reply come
    // back through this host.
    `add rule ${add} postrouting ct status dnat ${ip} saddr . ${ip} daddr @self masquerade`,
    `add rule ${add} postrouting ct status dnat ct original ${ip} daddr ${range} iifname . oifname @links masquerade`,
    // After translation, a packet that still has a VIP as its destination has no backend.
    `add chain ${add} refuse`,
    `add rule ${add} refuse meta l4proto tcp reject with tcp reset`,
    `add rule ${add} refuse reject with ${unreachable}`,
    `add chain ${add} refuse_output { type filter hook output priority 0; }`,
    `add chain ${add} refuse_forward { type filter hook forward priority 0; }`,
    ...['refuse_output', 'refuse_forward'].flatMap(chain => [
      `add rule ${add} ${chain} ${fresh} ${range} goto refuse`,
      `add rule ${add} ${chain} ${fresh} . meta l4proto . th dport @refused goto refuse`,
    ]),
  ]
}

/** A chain that distributes connections over W slots. */
const spread = (family: Family, chain: string, { affinity }: Layout): string[] => {
  const ip = nftFamily(family)
  const protocol = chain.slice(0, 3) as Protocol
  const width = chain.slice(3)
  const pick =
    affinity === 'client'
      ? `jhash ${ip} saddr mod ${width} seed 0x5eed`
      : `numgen random mod ${width}`
  return [
    `add chain ${ip} ${TABLE} ${chain}`,
    `add rule ${ip} ${TABLE} ${chain} meta l4proto ${protocol} dnat ${ip} addr . port to ${ip} daddr . ${protocol} dport . ${pick} map @${protocol}_slots`,
  ]
}

const slotKey = ({ address, port }: Service, slot: number): string =>
  `${address} . ${port} . ${slot}`

/** Elements to add to, or remove from, the sets and maps of one family. */
type Delta = { readonly add: Map<string, string[]>; readonly drop: Map<string, string[]> }

const put = (map: Map<string, string[]>, name: string, element: string): void => {
  const had = map.get(name)
  if (had) had.push(element)
  else map.set(name, [element])
}

const differ = (family: Family, before: Rules, after: Rules): Delta => {
  const delta: Delta = { add: new Map(), drop: new Map() }
  const enter = (key: string, service: Service): void =>
    service.slots.length > 0
      ? put(delta.add, 'service', `${key} : goto ${chainOf(service)}`)
      : put(delta.add, 'refused', key)
  const leave = (key: string, service: Service): void =>
    put(delta.drop, service.slots.length > 0 ? 'service' : 'refused', key)
  for (const [key, was] of before.services) {
    if (was.family !== family || after.services.has(key)) continue
    leave(key, was)
    for (let i = 0; i < was.slots.length; i++)
      put(delta.drop, `${was.protocol}_slots`, slotKey(was, i))
  }
  for (const [key, now] of after.services) {
    if (now.family !== family) continue
    const was = before.services.get(key)
    if (was === now) continue
    if (was?.slots.length !== now.slots.length) {
      if (was) leave(key, was)
      enter(key, now)
    }
    const [old, slots] = [was?.slots ?? [], `${now.protocol}_slots`]
    for (let i = 0; i < Math.max(old.length, now.slots.length); i++) {
      if (old[i] === now.slots[i]) continue
      if (old[i] !== undefined) put(delta.drop, slots, slotKey(now, i))
      if (now.slots[i] !== undefined) put(delta.add, slots, `${slotKey(now, i)} : ${now.slots[i]}`)
    }
  }
  const ofFamily = (ip: string): boolean => ip.includes(':') === (family === 6)
  for (const ip of before.self)
    if (ofFamily(ip) && !after.self.has(ip)) put(delta.drop, 'self', `${ip} . ${ip}`)
  for (const ip of after.self)
    if (ofFamily(ip) && !before.self.has(ip)) put(delta.add, 'self', `${ip} . ${ip}`)
  const link = (name: string): string => `"${name}" . "${name}"`
  for (const name of before.links) if (!after.links.has(name)) put(delta.drop, 'links', link(name))
  for (const name of after.links) if (!before.links.has(name)) put(delta.add, 'links', link(name))
  return delta
}

const NOTHING: Rules = { services: new Map(), self: new Set(), links: new Set() }

/** Chains that services lead to, such as '4 tcp3'. */
const chainsOf = ({ services }: Rules): Set<string> => {
  const chains = new Set<string>()
  for (const service of services.values())
    if (service.slots.length > 0) chains.add(`${service.family} ${chainOf(service)}`)
  return chains
}

const deltaText = (
  layout: Layout,
  before: Rules,
  after: Rules,
  chains: ReadonlySet<string>,
): string[] =>
  families(layout).flatMap(family => {
    const table = `${nftFamily(family)} ${TABLE}`
    const { add, drop } = differ(family, before, after)
    const fresh = [...chainsOf(after)]
      .filter(chain => !chains.has(chain) && chain.startsWith(`${family} `))
      .flatMap(chain => spread(family, chain.slice(2), layout))
    return [
      ...fresh,
      ...[...drop].flatMap(([name, all]) => elements('delete', `${table} ${name}`, all)),
      ...[...add].flatMap(([name, all]) => elements('add', `${table} ${name}`, all)),
    ]
  })

export type Transaction = { readonly text: string; readonly after: Programmed }

/** Replaces both tables in one transaction, whatever is in the kernel. */
export const replaceAll = (layout: Layout, rules: Rules): Transaction => {
  const lines = families(layout).flatMap(family => {
    const table = `table ${nftFamily(family)} ${TABLE}`
    // Before nft 1.0.8 a table must exist to be deleted, so it is added first.
    return [`add ${table}`, `delete ${table}`, `add ${table}`, ...skeleton(family, layout)]
  })
  lines.push(...deltaText(layout, NOTHING, rules, new Set()))
  return { text: `${lines.join('\n')}\n`, after: { rules, chains: chainsOf(rules) } }
}

/** The change from one state to another; '' if they are equal. */
export const change = (layout: Layout, from: Programmed, rules: Rules): Transaction => {
  const lines = deltaText(layout, from.rules, rules, from.chains)
  const chains = new Set([...from.chains, ...chainsOf(rules)])
  return { text: lines.length > 0 ? `${lines.join('\n')}\n` : '', after: { rules, chains } }
}

/** Removes both tables. */
export const removeAll = (): string =>
  FAMILIES.map(family => {
    const table = `table ${nftFamily(family)} ${TABLE}`
    return `add ${table}\ndelete ${table}\n`
  }).join('')

/** The elements in a listing of a map, sorted: '11.0.0.1 . tcp . 80 : goto tcp3'. */
export const listedElements = (listing: string): string[] =>
  [...listing.matchAll(/[0-9a-f][0-9a-f:.]*(?: \. [\w]+){2} : (?:goto \w+|[0-9a-f:.]+ \. \d+)/g)]
    .map(([text]) => text)
    .sort()

/** The elements that the map should contain, in the same format. */
export const expectedElements = (family: Family, name: string, rules: Rules): string[] =>
  (differ(family, NOTHING, rules).add.get(name) ?? []).slice().sort()

/** The maps that decide where connections go. */
export const MAPS = ['service', ...PROTOCOLS.map(protocol => `${protocol}_slots`)]
