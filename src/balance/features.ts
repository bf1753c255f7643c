/** Checks before any change whether this host has what the balancer needs, feature by feature. */
import { readFileSync } from 'node:fs'
import { probe } from './kernel.ts'
import { nftFamily, replaceAll, type Layout } from './ruleset.ts'
import { runTool } from './run-tool.ts'
import type { Family, Rules, Service } from './services.ts'

export type Features = {
  readonly ipv6: boolean
  /** What is missing, one sentence each. Balancing is impossible without IPv4. */
  readonly missing: readonly string[]
  readonly works: boolean
}

/** Each feature with the smallest ruleset that needs it. */
const PARTS = (family: Family): readonly [name: string, text: string][] => {
  const ip = nftFamily(family)
  const table = `add table ${ip} spartan_probe\n`
  const on = `${ip} spartan_probe`
  const nat = `${table}add chain ${on} c { type nat hook output priority -100; }\n`
  const filter = `${table}add chain ${on} c { type filter hook output priority 0; }\n`
  return [
    ['nftables (nf_tables)', table],
    ['address translation (nft_chain_nat)', nat],
    [
      'random numbers (nft_numgen)',
      `${nat}add rule ${on} c numgen random mod 2 vmap { 0 : accept, 1 : accept }\n`,
    ],
    [
      'hashes (nft_hash)',
      `${nat}add rule ${on} c jhash ${ip} saddr mod 2 vmap { 0 : accept, 1 : accept }\n`,
    ],
    [
      'masquerading (nft_masq)',
      `${table}add chain ${on} p { type nat hook postrouting priority 100; }\nadd rule ${on} p masquerade\n`,
    ],
    ['refusals (nft_reject)', `${filter}add rule ${on} c reject\n`],
    ['connection tracking (nft_ct)', `${filter}add rule ${on} c ct state new accept\n`],
  ]
}

const sample = (family: Family): Rules => {
  const [address, slot] =
    family === 4 ? ['192.0.2.1', '192.0.2.2 . 80'] : ['2001:db8::1', '2001:db8::2 . 80']
  const service = (protocol: 'tcp' | 'udp'): [string, Service] => [
    `${address} . ${protocol} . 80`,
    { family, protocol, address, port: 80, slots: [slot, slot] },
  ]
  return { services: new Map([service('tcp'), service('udp')]), self: new Set(), links: new Set() }
}

/** Tries every feature that the rules use. */
export const probeFeatures = async (layout: Layout): Promise<Features> => {
  const missing: string[] = []
  for (const [tool, flag, use] of [
    ['nft', '--version', 'Debian package nftables'],
    [
      'conntrack',
      '--version',
      'Debian package conntrack; without it UDP flows stay with removed backends',
    ],
    ['ip', '-V', 'Debian package iproute2; without it VIPs need a route of the operator’s'],
  ] as const)
    if ((await runTool(tool, [flag])).status !== 0)
      missing.push(`the program ${tool} is missing (${use})`)
  const works = new Map<Family, boolean>()
  for (const family of [4, 6] as const) {
    const whole = await probe(replaceAll({ ...layout, ipv6: family === 6 }, sample(family)).text)
    works.set(family, whole.works)
    if (whole.works) continue
    const before = missing.length
    for (const [name, text] of PARTS(family)) {
      const part = await probe(text)
      if (!part.works) missing.push(`IPv${family}: the kernel or nft lacks ${name}: ${part.why}`)
    }
    if (missing.length === before) missing.push(`IPv${family}: nft refuses the rules: ${whole.why}`)
  }
  return { missing, works: works.get(4) ?? false, ipv6: works.get(6) ?? false }
}

const setting = (path: string): string => {
  try {
    return readFileSync(`/proc/sys/net/${path}`, 'latin1').trim()
  } catch {
    return ''
  }
}

/** Kernel settings that limit balancing, as sentences for the log and the status page. */
export const hostNotes = (): string[] => {
  const notes: string[] = []
  if (setting('bridge/bridge-nf-call-iptables') === '1')
    notes.push(
      'net.bridge.bridge-nf-call-iptables is 1: a container behind a bridge reaches itself through its VIP only if its port is in hairpin mode',
    )
  const [count, max] = ['netfilter/nf_conntrack_count', 'netfilter/nf_conntrack_max'].map(name =>
    Number(setting(name)),
  )
  if (count && max && count > max * 0.8)
    notes.push(
      `connection tracking holds ${count} of ${max} flows: new connections will be lost (net.netfilter.nf_conntrack_max)`,
    )
  return notes
}
