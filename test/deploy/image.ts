/** The container image: its layout holds together, and the daemon runs from exactly its layers. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { version } from '../../src/base/version.ts'
import { freePort, ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { makePackage, outside } from '../fixture/package.ts'

const USER = 10_053
const arch = process.arch === 'arm64' ? 'arm64' : 'amd64'

type Blob = { readonly mediaType: string; readonly digest: string; readonly size: number }
type Config = {
  readonly architecture: string
  readonly os: string
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] }
  readonly config: {
    readonly User: string
    readonly Entrypoint: readonly string[]
    readonly Cmd: readonly string[]
    readonly Env: readonly string[]
    readonly ExposedPorts: Readonly<Record<string, object>>
  }
}

// Not t.testdir(), whose folders only root can enter on some machines.
const work = mkdtempSync(join(tmpdir(), 'spartan-image-'))
t.teardown(() => rmSync(work, { recursive: true, force: true }))
const layout = join(work, 'layout')
mkdirSync(layout)
const { status, stdout, stderr } = makePackage('--oci', '--out', work)
const archive = join(work, `spartan-${version()}-${arch}.oci.tar`)
t.match({ status, stdout, stderr }, { status: 0, stdout: `${archive}\n`, stderr: '' })
execFileSync('tar', ['-xf', archive, '-C', layout])

const blobPath = (digest: string): string => join(layout, 'blobs', digest.replace(':', '/'))
const digestOf = (content: Buffer): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`
const json = (content: Buffer | string): unknown => JSON.parse(content.toString())

/** The content of a blob, after its size and digest have been checked. */
const read = ({ digest, size, mediaType }: Blob, wanted: string): Buffer => {
  const content = readFileSync(blobPath(digest))
  t.strictSame(
    { digest: digestOf(content), size: content.length, mediaType },
    { digest, size, mediaType: `application/vnd.oci.image.${wanted}` },
  )
  return content
}

const index = json(readFileSync(join(layout, 'index.json'))) as { manifests: [Blob] }
const manifest = json(read(index.manifests[0], 'manifest.v1+json')) as {
  config: Blob
  layers: Blob[]
}
const image = json(read(manifest.config, 'config.v1+json')) as Config
const layers = manifest.layers.map(layer => read(layer, 'layer.v1.tar+gzip'))
const { config } = image

t.test('every blob is what it is called, and there is no other', async t => {
  t.strictSame(json(readFileSync(join(layout, 'oci-layout'))), { imageLayoutVersion: '1.0.0' })
  t.match(index, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        platform: { architecture: arch, os: 'linux' },
        annotations: {
          'org.opencontainers.image.ref.name': version(),
          'io.containerd.image.name': `localhost/spartan:${version()}`,
        },
      },
    ],
  })
  t.match(manifest, { schemaVersion: 2 })
  t.strictSame(
    readdirSync(join(layout, 'blobs/sha256')).sort(),
    [index.manifests[0], manifest.config, ...manifest.layers]
      .map(({ digest }) => digest.slice('sha256:'.length))
      .sort(),
  )
  t.strictSame(
    image.rootfs,
    { type: 'layers', diff_ids: layers.map(layer => digestOf(gunzipSync(layer))) },
    'diff_ids are of the archives without compression',
  )
})

t.test('it says how it is run', async t => {
  t.match(image, { architecture: arch, os: 'linux' })
  t.match(config, {
    User: `${USER}:${USER}`,
    Entrypoint: ['/usr/bin/spartan'],
    Cmd: ['run', '--config', '/etc/spartan/spartan.yaml'],
    ExposedPorts: { '53/udp': {}, '53/tcp': {}, '62080/tcp': {}, '7946/udp': {}, '7946/tcp': {} },
    Labels: {
      'org.opencontainers.image.title': 'spartan',
      'org.opencontainers.image.version': version(),
      'org.opencontainers.image.licenses': 'Apache-2.0',
    },
  })
})

const noUmoci = outside('umoci', '--version').error ? 'SKIPPED: umoci is not installed' : ''

t.test('another program unpacks it, to be run as it says', { skip: noUmoci }, async t => {
  const bundle = join(work, 'bundle')
  const args = ['unpack', '--image', `${layout}:${version()}`, bundle]
  const ran = outside('umoci', ...(process.getuid?.() === 0 ? args : [...args, '--rootless']))
  t.equal(ran.status, 0, ran.stderr)
  t.match(json(readFileSync(join(bundle, 'config.json'))), {
    process: {
      args: [...config.Entrypoint, ...config.Cmd],
      user: { uid: USER, gid: USER },
    },
  })
  t.ok(existsSync(join(bundle, 'rootfs/usr/lib/spartan/node/bin/node')))
  t.ok(existsSync(join(bundle, 'rootfs/usr/lib/spartan/dist/program/main.js')))
})

const noSkopeo = outside('skopeo', '--version').error ? 'SKIPPED: skopeo is not installed' : ''

t.test('the library of Podman reads it, with every digest', { skip: noSkopeo }, async t => {
  const seen = outside('skopeo', 'inspect', `oci-archive:${archive}`)
  t.match(json(seen.stdout || 'null'), {
    Digest: index.manifests[0].digest,
    Layers: manifest.layers.map(({ digest }) => digest),
    Architecture: arch,
    Env: config.Env,
  })
  const copy = (to: string) =>
    outside(
      'skopeo',
      '--insecure-policy',
      'copy',
      `oci:${layout}:${version()}`,
      `dir:${join(work, to)}`,
    )
  t.match(copy('copied'), { status: 0 })
  const [lower] = manifest.layers
  const sound = readFileSync(blobPath(lower!.digest))
  writeFileSync(
    blobPath(lower!.digest),
    sound.map((octet, i) => (i === 999 ? octet ^ 1 : octet)),
  )
  t.not(copy('broken').status, 0, 'it would notice one wrong bit')
  writeFileSync(blobPath(lower!.digest), sound)
})

t.test('the same files make the same image', async t => {
  const again = join(work, 'again')
  t.equal(makePackage('--oci', '--out', again).status, 0)
  t.ok(
    readFileSync(join(again, `spartan-${version()}-${arch}.oci.tar`)).equals(readFileSync(archive)),
  )
})

t.test('an image for another processor says what it needs', async t => {
  const other = arch === 'arm64' ? 'amd64' : 'arm64'
  const ran = makePackage('--oci', '--arch', other, '--out', work)
  t.not(ran.status, 0)
  t.match(ran.stderr, `an image for ${other} needs --root, a system for it, and --node, its Node`)
  t.notOk(existsSync(join(work, `spartan-${version()}-${other}.oci.tar`)))
})

const cannotRun =
  process.getuid?.() !== 0
    ? 'SKIPPED: needs root'
    : outside('unshare', '-m', 'true').status !== 0 || outside('chroot', '--version').error
      ? 'SKIPPED: needs unshare and chroot'
      : ''

t.test('the daemon answers out of its layers alone', { skip: cannotRun }, async t => {
  const root = join(work, 'root')
  mkdirSync(root)
  for (const { digest } of manifest.layers)
    execFileSync('tar', ['-xzpf', blobPath(digest), '-C', root, '--numeric-owner'])
  for (const folder of ['run/spartan', 'var/lib/spartan'])
    t.match(statSync(join(root, folder)), { uid: USER, gid: USER }, folder)
  t.equal(statSync(join(root, 'usr/bin/spartan')).uid, 0)

  // A container engine, too, adds /proc, /dev and the configuration; all other files come from the image.
  const program = (...args: readonly string[]): readonly [string, ...string[]] => [
    'unshare',
    '-m',
    'sh',
    '-c',
    `mount -t proc proc ${root}/proc && mount --rbind /dev ${root}/dev || exit 1
[ "$2" != --config ] || { cat "$3" >${root}/etc/spartan/spartan.yaml; set -- ${config.Cmd.join(' ')}; }
exec env -i ${config.Env.join(' ')} $(command -v chroot) --userspec=${config.User} ${root} ${config.Entrypoint.join(' ')} "$@"`,
    'sh',
    ...args,
  ]
  const run = (...args: string[]) => {
    const [command, ...words] = program(...args)
    return spawnSync(command, words, { encoding: 'utf8' })
  }
  const address = ownAddress()
  const listen = `${address}:${await freePort([address])}`
  const d = await daemon(
    t,
    { admin: { listen, socket: '/run/spartan/admin.sock' }, stateDir: '/var/lib/spartan' },
    { program: program(), patience: 120_000 },
  )
  t.match(await ask(d.at, 'ready.spartan'), { status: 'NOERROR' })
  t.match(d.lines('starting')[0], { version: version() })
  t.match(run('query', 'ready.spartan', '--short'), { status: 0, stdout: /^127\./ })
  t.match(run('status'), { status: 0, stdout: /agent-under-test/, stderr: '' }, 'over its socket')
  const facts = json(run('version', '--json').stdout) as { features: object; node: string }
  t.match(facts, { features: { batchedIo: true }, node: process.versions.node })
  t.match(run('keys', 'generate', '-o', '/var/lib/spartan/keyring.json'), { status: 0 })
  t.equal(statSync(join(root, 'var/lib/spartan/keyring.json')).uid, USER)
  t.equal(await d.stop(), 0, 'SIGTERM reaches it')
})
