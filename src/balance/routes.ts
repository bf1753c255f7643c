/**
 * Routes for VIP addresses. Without a route, a connection fails before any rule sees it; the route also sets the
 * source address. They lead to the loopback interface with this agent's own address as the source, so that a backend
 * on another host can reply. They have a protocol number of our own, so that other routes are never changed.
 */
import { readdirSync } from 'node:fs'
import { runTool } from './run-tool.ts'

/** rtm_protocol of our routes; not used in /etc/iproute2/rt_protos. */
const PROTOCOL = '178'

export type WantedRoutes = {
  readonly prefixes: readonly string[]
  /** Addresses of numeric VIPs. They need a route only if no other route covers them. */
  readonly single: readonly string[]
  /** Source addresses; '' for none. */
  readonly own4: string
  readonly own6: string
}

const familyFlag = (prefix: string): string => (prefix.includes(':') ? '-6' : '-4')

export class Routes {
  readonly #added = new Map<string, string>()

  /** Adds missing routes; returns the problems as sentences. */
  async ensure({ prefixes, single, own4, own6 }: WantedRoutes): Promise<string[]> {
    const notes: string[] = []
    for (const prefix of prefixes) {
      const own = prefix.includes(':') ? own6 : own4
      if (own === '') {
        if (!prefix.includes(':'))
          notes.push(`this host has no address to use as the source of connections to ${prefix}`)
        continue
      }
      const note = await this.#ensure(prefix, own)
      if (note) notes.push(note)
    }
    for (const address of single) {
      const own = address.includes(':') ? own6 : own4
      if (own === '') continue
      const led = await runTool('ip', [familyFlag(address), 'route', 'get', address])
      if (led.status !== 0 || this.#added.has(address)) {
        const note = await this.#ensure(address, own)
        if (note) notes.push(note)
      }
    }
    for (const prefix of [...this.#added.keys()]) {
      if (prefixes.includes(prefix) || single.includes(prefix)) continue
      await this.#drop(prefix)
    }
    return notes
  }

  async #ensure(prefix: string, own: string): Promise<string> {
    const flag = familyFlag(prefix)
    const { out } = await runTool('ip', [flag, 'route', 'show', 'exact', prefix])
    const there = out.trim()
    const ours = new RegExp(`proto ${PROTOCOL}\\b`).test(there)
    if (there !== '' && !ours)
      return `${prefix} is routed by somebody else (${there.split('\n')[0]}); it is left alone`
    this.#added.set(prefix, own)
    if (ours && there.includes(`src ${own} `)) return ''
    const result = await runTool('ip', [
      ...[flag, 'route', 'replace', prefix, 'dev', 'lo', 'src', own, 'proto', PROTOCOL],
    ])
    return result.status === 0 ? '' : `no route for ${prefix}: ${result.error}`
  }

  async #drop(prefix: string): Promise<void> {
    this.#added.delete(prefix)
    await runTool('ip', [
      familyFlag(prefix),
      'route',
      'del',
      prefix,
      'dev',
      'lo',
      'proto',
      PROTOCOL,
    ])
  }
}

/** Removes all our routes. */
export const removeRoutes = async (): Promise<void> => {
  for (const flag of ['-4', '-6']) {
    const { out } = await runTool('ip', [flag, 'route', 'show', 'proto', PROTOCOL])
    for (const route of out.split('\n')) {
      const [prefix = ''] = route.trim().split(' ')
      if (prefix !== '') await runTool('ip', [flag, 'route', 'del', prefix, 'proto', PROTOCOL])
    }
  }
}

/** Bridges of this host: links whose members can reach each other through them. */
export const bridges = (root = '/sys/class/net'): string[] => {
  try {
    return readdirSync(root).filter(name => {
      try {
        return readdirSync(`${root}/${name}`).includes('bridge') && /^[\w.@:-]{1,15}$/.test(name)
      } catch {
        return false
      }
    })
  } catch {
    return []
  }
}
