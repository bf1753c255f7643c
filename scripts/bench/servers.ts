/** All servers that a bench can measure: spartan with both kinds of I/O, the floor, and the installed C servers. */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PEERS } from './peers.ts'
import type { Peer } from './peers.ts'
import type { Place } from './place.ts'

/** One server to measure. */
export type Server = {
  readonly name: string
  readonly kind: 'ours' | 'floor' | 'peer'
  /** Whether it asks all upstreams at once. */
  readonly races: boolean
  /** Number of answer records; the floor gives none. */
  readonly answers: number
  /** Version as the program prints it; '' if it does not matter. */
  readonly version: string
  /** Whether it prints "ready"; other servers are asked until they answer. */
  readonly tellsReady: boolean
  /** Its listen address, if it cannot use any address of 127.0.0.0/8; otherwise ''. */
  readonly address: string
  /** Writes its files; returns the command. */
  readonly command: (place: Place) => readonly string[]
}

/** A file in this folder, from the sources or from the build. */
const beside = (name: string): string =>
  fileURLToPath(new URL(name + (import.meta.url.endsWith('.ts') ? '.ts' : '.js'), import.meta.url))

const node = (...args: readonly string[]): readonly string[] => [
  process.execPath,
  ...process.execArgv.filter(arg => arg.startsWith('--import=')),
  ...args,
]

/** The build under test. */
const PROGRAM = fileURLToPath(
  new URL(
    import.meta.url.includes('/.build/') ? '../../../dist/main.js' : '../../dist/main.js',
    import.meta.url,
  ),
)

/** The flags with which scripts/install.sh runs the program. */
const AS_INSTALLED = ['--single-threaded-gc']

/** @param main the program: this build's, or another build's `main.js` to compare with */
const spartan = (name: string, body: 'batch' | 'dgram', main = PROGRAM): Server => ({
  name,
  kind: 'ours',
  races: true,
  answers: 1,
  version: '',
  address: '',
  tellsReady: true,
  command: place => {
    const { dir, address, port, adminPort, upstreams, vipFiles, ring } = place
    const config = {
      node: `bench-${address}`,
      io: body,
      listen: { addresses: [address], port },
      allow: ['127.0.0.0/8'],
      masters: {
        source: 'static',
        addresses: upstreams.map(u => u.address),
        port: upstreams[0]?.port,
      },
      upstreams: upstreams.slice(0, 1).map(u => `${u.address}:${u.port}`),
      admin: { listen: `${address}:${adminPort}`, socket: '' },
      ...(vipFiles.length > 0 ? { vips: { files: vipFiles } } : {}),
      ...(ring.length > 0 ? { gossip: gossip(place) } : {}),
    }
    // JSON is YAML.
    writeFileSync(join(dir, 'spartan.yaml'), JSON.stringify(config, null, 2))
    return node(...AS_INSTALLED, main, 'run', '--config', join(dir, 'spartan.yaml'))
  },
})

/** Gossip without keys, because it does not leave loopback. */
const gossip = ({ address, adminPort, ring }: Place): object => ({
  bind: `${address}:${adminPort + 1}`,
  seeds: ring.map(node => `${node}:${adminPort + 1}`),
  insecure: true,
})

const floor = (body: 'batch' | 'dgram'): Server => ({
  name: body === 'batch' ? 'floor' : 'floor (dgram)',
  kind: 'floor',
  races: false,
  answers: 0,
  version: '',
  address: '',
  tellsReady: true,
  command: ({ address, port }) => node(beside('floor'), address, String(port), body),
})

/** Folders of daemons that PATH may lack. */
const SYSTEM_PATHS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

const found = (binary: string): string | undefined => {
  for (const dir of [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_PATHS]) {
    const path = join(dir, binary)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/** The first number with a dot in a program's version output. */
const versionOf = (path: string, args: readonly string[]): string => {
  try {
    const said = execFileSync(path, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return /\d+(\.\d+)+|\d+/.exec(said)?.[0] ?? ''
  } catch {
    return ''
  }
}

const peer = (spec: Peer, path: string): Server => ({
  name: spec.name,
  kind: 'peer',
  races: spec.races,
  answers: 1,
  version: versionOf(path, spec.version),
  address: spec.address ?? '',
  tellsReady: false,
  command: place => {
    const { files = {}, args } = spec.set(place)
    mkdirSync(join(place.dir, 'cache'), { recursive: true })
    for (const [name, text] of Object.entries(files)) writeFileSync(join(place.dir, name), text)
    return [path, ...args]
  },
})

/**
 * Spartan, the floor, and the installed C servers, in the order of the table. `against` is the `main.js` of another
 * build, which is measured as 'before'.
 */
export const servers = (against?: string): readonly Server[] => [
  spartan('spartan', 'batch'),
  spartan('spartan (dgram)', 'dgram'),
  ...(against === undefined ? [] : [spartan('before', 'batch', against)]),
  floor('batch'),
  floor('dgram'),
  ...PEERS.flatMap(spec => {
    const path = found(spec.binary)
    return path ? [peer(spec, path)] : []
  }),
]
