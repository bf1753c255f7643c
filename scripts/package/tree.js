/** The files of an installed spartan, below any folder: what the package, the archive and the installer have in common. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { bundle } from './bundle.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Debian's names of processors, and Node's. */
export const ARCHITECTURES = { amd64: 'x64', arm64: 'arm64' }

export const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

/** From deploy/ to where it is installed; a file may be run if its mode here says so. */
const FILES = {
  'spartan.sh': 'usr/bin/spartan',
  'spartan-addresses.sh': 'usr/lib/spartan/spartan-addresses.sh',
  'spartan-stop.sh': 'usr/lib/spartan/spartan-stop.sh',
  'spartan.schema.json': 'usr/lib/spartan/spartan.schema.json',
  'spartan.sysusers': 'usr/lib/sysusers.d/spartan.conf',
  'spartan.tmpfiles': 'usr/lib/tmpfiles.d/spartan.conf',
  'network/10-spartan.network': 'usr/lib/systemd/network/10-spartan.network',
  'network/spartan-unmanaged.conf': 'usr/lib/NetworkManager/conf.d/spartan-unmanaged.conf',
  'spartan.yaml': 'etc/spartan/spartan.yaml',
  'spartan.default': 'etc/default/spartan',
  'debian/copyright': 'usr/share/doc/spartan/copyright',
}

/** What operators edit: never overwritten. */
export const CONFIGURATION = ['etc/spartan/spartan.yaml', 'etc/default/spartan']

/** @param {string} folder @param {string} path @param {string | Buffer} content @param {number} mode */
const put = (folder, path, content, mode = 0o644) => {
  const to = join(folder, path)
  mkdirSync(dirname(to), { recursive: true })
  writeFileSync(to, content)
  chmodSync(to, mode)
}

/** The same octets each time: no name, no time. @param {string | Buffer} content */
const compressed = content => gzipSync(content, { level: 9 })

/** The folder of a package of the registry, unpacked; fetched unless npm installed it here. */
const packageFolder = (name, version) => {
  const installed = join(ROOT, 'node_modules', name)
  if (existsSync(installed)) return installed
  const kept = join(ROOT, '.build/packages', `${name.replaceAll('/', '+')}-${version}`)
  if (existsSync(join(kept, 'package'))) return join(kept, 'package')
  mkdirSync(kept, { recursive: true })
  const said = execFileSync(
    'npm',
    ['pack', '--loglevel=error', '--pack-destination', kept, `${name}@${version}`],
    { encoding: 'utf8' },
  )
  execFileSync('tar', ['-xzf', join(kept, said.trim().split('\n').at(-1) ?? ''), '-C', kept])
  return join(kept, 'package')
}

/** koffi's JavaScript and its one binary for this processor. */
const putKoffi = (folder, arch) => {
  const name = `@koromix/koffi-linux-${ARCHITECTURES[arch]}`
  const version = manifest.dependencies.koffi
  const modules = join(folder, 'usr/lib/spartan/node_modules')
  const koffi = join(ROOT, 'node_modules/koffi')
  for (const file of readdirSync(koffi, { recursive: true, encoding: 'utf8' }))
    if (file === 'package.json' || file === 'index.cjs' || /^src\/.*\.cjs$/.test(file))
      put(modules, `koffi/${file}`, readFileSync(join(koffi, file)))
  const from = packageFolder(name, version)
  for (const file of ['package.json', 'index.js'])
    put(modules, `${name}/${file}`, readFileSync(join(from, file)))
  const binaries = `linux_${ARCHITECTURES[arch]}`
  for (const file of readdirSync(join(from, binaries)))
    put(modules, `${name}/${binaries}/${file}`, readFileSync(join(from, binaries, file)))
}

/** What the status page loads: uPlot, and our own scripts as they were built. @param {string} folder */
const putPage = folder => {
  const uplot = 'node_modules/uplot'
  for (const file of ['package.json', 'dist/uPlot.iife.min.js', 'dist/uPlot.min.css'])
    put(folder, `usr/lib/spartan/${uplot}/${file}`, readFileSync(join(ROOT, uplot, file)))
  const browser = 'dist/ops/browser'
  for (const file of readdirSync(join(ROOT, browser)).filter(name => name.endsWith('.js')))
    put(folder, `usr/lib/spartan/${browser}/${file}`, readFileSync(join(ROOT, browser, file)))
}

/** The notices of everything that is in the bundle. */
const licenses = () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  return Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .flatMap(([path]) => {
      const folder = join(ROOT, path)
      if (!existsSync(folder)) return []
      const notice = readdirSync(folder).find(file => /^licen[cs]e/i.test(file))
      return notice
        ? [
            `${path.replace(/^.*node_modules\//, '')}\n\n${readFileSync(join(folder, notice), 'utf8')}`,
          ]
        : []
    })
    .join('\n\n')
}

const git = (...args) => {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : ''
}

/** The commit that is packaged, short; '' outside a checkout. */
export const commit = () => git('rev-parse', '--short', 'HEAD')

/** When that was, ISO 8601; outside a checkout the beginning of Unix time. */
export const commitTime = () =>
  new Date(Number(git('log', '-1', '--format=%ct')) * 1000).toISOString()

/**
 * Writes the whole tree.
 * @param {string} folder becomes the root
 * @param {'amd64' | 'arm64'} arch
 * @param {string} version
 */
export const putTree = async (folder, arch, version = manifest.version) => {
  const deploy = join(ROOT, 'deploy')
  await bundle(join(folder, 'usr/lib/spartan/dist'))
  const facts = { name: 'spartan', version, commit: commit() }
  put(folder, 'usr/lib/spartan/package.json', `${JSON.stringify(facts, null, 2)}\n`)
  putKoffi(folder, arch)
  putPage(folder)
  for (const [from, to] of Object.entries(FILES))
    put(folder, to, readFileSync(join(deploy, from)), from.endsWith('.sh') ? 0o755 : 0o644)
  for (const name of readdirSync(deploy)) {
    if (/\.(service|socket|timer)$/.test(name))
      put(folder, `usr/lib/systemd/system/${name}`, readFileSync(join(deploy, name)))
    const section = /\.([1-8])$/.exec(name)?.[1]
    if (section)
      put(
        folder,
        `usr/share/man/man${section}/${name}.gz`,
        compressed(readFileSync(join(deploy, name))),
      )
  }
  const doc = 'usr/share/doc/spartan'
  put(folder, `${doc}/CHANGELOG.md.gz`, compressed(readFileSync(join(ROOT, 'CHANGELOG.md'))))
  put(folder, `${doc}/licenses.gz`, compressed(licenses()))
  for (const name of ['prometheus', 'grafana'])
    cpSync(join(deploy, name), join(folder, doc, 'examples', name), { recursive: true })
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', folder])
}

/**
 * The tree of spartan-node: one Node for all programs of spartan.
 * @param {string} folder becomes the root
 * @param {string} node a version in the registry, or the path of a Node
 * @param {'amd64' | 'arm64'} arch
 * @returns {string} its version
 */
export const putNode = (folder, node, arch) => {
  const own = node.startsWith('/')
  const version = own
    ? execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
    : node
  const from = own
    ? node
    : join(packageFolder(`node-linux-${ARCHITECTURES[arch]}`, version), 'bin/node')
  const to = join(folder, 'usr/lib/spartan/node/bin/node')
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, to)
  put(
    folder,
    'usr/share/lintian/overrides/spartan-node',
    '# Node is packaged as its makers built it.\nspartan-node: embedded-library *\nspartan-node: unstripped-binary-or-object *\n',
  )
  put(
    folder,
    'usr/share/doc/spartan-node/copyright',
    readFileSync(join(ROOT, 'deploy/debian/copyright-node')),
  )
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', folder])
  chmodSync(to, 0o755)
  return version
}
