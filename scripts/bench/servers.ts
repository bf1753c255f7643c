/**
 * Everything that a bench can measure: ourselves over both bodies, the floor,
 * and the C peers that are installed.
 */
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
  /** Asks all upstreams at once. */
  readonly races: boolean
  /** Answer records it gives for a name: the floor gives none. */
  readonly answers: number
  /** Version as the program says it, '' where it does not matter. */
  readonly version: string
  /** Whether it says "ready" on standard output; others are asked until they answer. */
  readonly tellsReady: boolean
  /** Where it must listen if it does not take any address of 127.0.0.0/8, '' otherwise. */
  readonly address: string
  /** Writes its files; returns what to run. */
  readonly command: (place: Place) => readonly string[]
}

/** A file beside this one, from the sources or from dist. */
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

/** How scripts/install.sh has the program run. */
const AS_INSTALLED = ['--single-threaded-gc']

/** @param main the program: our own, or another build's `main.js` to be compared with it */
const spartan = (name: string, body: 'batch' | 'dgram', main = PROGRAM): Server => ({
  name,
  kind: 'ours',
  races: true,
  answers: 1,
  version: '',
  address: '',
  tellsReady: true,
  command: place => {
    const { dir, address, port, adminPort, upstreams, vipFiles } = place
    const config = {
      node: 'bench',
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
    }
    // JSON is YAML.
    writeFileSync(join(dir, 'spartan.yaml'), JSON.stringify(config, null, 2))
    return node(...AS_INSTALLED, main, 'run', '--config', join(dir, 'spartan.yaml'))
  },
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

/** Where daemons are, beside PATH. */
const SYSTEM_PATHS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

const found = (binary: string): string | undefined => {
  for (const dir of [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_PATHS]) {
    const path = join(dir, binary)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not there.
    }
  }
  return undefined
}

/** The first number with a dot in what a program says about itself. */
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
 * Ours, the floor, and the peers that are installed here, in the order of the
 * table. `against` is the `main.js` of another build of ours, to be measured
 * in the same run as 'before'.
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
