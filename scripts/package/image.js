/** The image of spartan: its tree and a Node, on the few files of a system that both need, and nothing else. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeImage } from './oci.js'
import { putBase, USER } from './oci-root.js'
import { commit, commitTime, putNode, putTree } from './tree.js'

/** How the image is run: the daemon with a configuration that is mounted; other commands in its place. */
const configOf = version => ({
  User: `${USER}:${USER}`,
  Entrypoint: ['/usr/bin/spartan'],
  Cmd: ['run', '--config', '/etc/spartan/spartan.yaml'],
  Env: ['PATH=/usr/bin:/bin', 'NODE_ENV=production'],
  WorkingDir: '/',
  StopSignal: 'SIGTERM',
  // DNS, the status page, and gossip.
  ExposedPorts: { '53/udp': {}, '53/tcp': {}, '62080/tcp': {}, '7946/udp': {}, '7946/tcp': {} },
  Labels: {
    'org.opencontainers.image.title': 'spartan',
    'org.opencontainers.image.description': 'Caching DNS forwarder for agents of a Mesos cluster',
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': 'Apache-2.0',
    ...(commit() === '' ? {} : { 'org.opencontainers.image.revision': commit() }),
  },
})

/**
 * @param {string} out folder for the image
 * @param {object} from
 * @param {'amd64' | 'arm64'} from.arch
 * @param {string} from.version
 * @param {string} from.node a version in the registry, or the path of a Node
 * @param {string} from.root where the C library and the shell are taken from
 * @param {string} scratch an empty folder
 * @returns {Promise<string>} the path of the image
 */
export const makeSpartanImage = async (out, { arch, version, node, root }, scratch) => {
  const [base, tree, work] = ['base', 'tree', 'work'].map(name => join(scratch, name))
  for (const folder of [base, tree, work]) mkdirSync(folder)
  await putTree(tree, arch, version)
  putNode(base, node, arch)
  const modules = join(tree, 'usr/lib/spartan/node_modules')
  const binaries = readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.node'))
    .map(name => join(modules, name))
  putBase(base, {
    root,
    arch,
    programs: [join(base, 'usr/lib/spartan/node/bin/node'), ...binaries],
  })
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', tree])
  const layers = [
    { folder: base, by: 'Node and what it loads' },
    {
      folder: tree,
      by: `spartan ${version}`,
      owned: { id: USER, folders: ['run/spartan', 'var/lib/spartan'] },
    },
  ]
  const about = { arch, name: 'spartan', version, created: commitTime() }
  const image = { ...about, config: configOf(version), layers }
  return makeImage(join(out, `spartan-${version}-${arch}.oci.tar`), image, work)
}
