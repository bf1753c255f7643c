#!/usr/bin/env node
/**
 * Usage: npm run package -- [--arch amd64,arm64] [--node VERSION|FILE] [--version VERSION] [--out FOLDER]
 *        npm run package -- --oci [--root FOLDER] [--arch ARCH] [--node VERSION|FILE] [--version VERSION] [--out FOLDER]
 *        node scripts/package.js --tree FOLDER
 *
 * Makes, for each processor, a Debian package, and an archive of the same tree
 * with install.sh, out of a built checkout; with --node also the package spartan-node, of a Node
 * from the registry or from this host. --oci makes only a container image (an archive of an OCI image layout). Its C
 * library and shell are this host's; for another processor --root names a folder that holds a system for it, as
 * debootstrap makes one. --tree writes only the tree.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeDeb } from './package/deb.js'
import { makeSpartanImage } from './package/image.js'
import { ARCHITECTURES, CONFIGURATION, manifest, putNode, putTree } from './package/tree.js'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values: options } = parseArgs({
  options: {
    arch: { type: 'string' },
    node: { type: 'string' },
    version: { type: 'string', default: manifest.version },
    out: { type: 'string', default: join(ROOT, '.build/dist') },
    tree: { type: 'string' },
    oci: { type: 'boolean', default: false },
    root: { type: 'string' },
  },
})
const HERE = process.arch === 'arm64' ? 'arm64' : 'amd64'

const FIELDS = {
  // nft and conntrack are what spartan balance runs.
  Depends:
    'spartan-node (>= 20.18.1) | nodejs (>= 20.18.1), iproute2, nftables, conntrack, libc6 (>= 2.31)',
  Recommends: 'systemd (>= 249)',
  Section: 'net',
  Priority: 'optional',
}
const DESCRIPTION = `caching DNS forwarder for agents of a Mesos cluster
One daemon answers at the three addresses in /etc/resolv.conf: from its cache,
from all Mesos-DNS masters at once, from external resolvers, and from the
records that the agents tell each other.`
const NODE_DESCRIPTION = `Node.js for the DNS forwarder spartan
One Node.js for the programs of spartan alone, for hosts that have none, or
another one.`

/** Runs `work` with a folder that is gone afterwards. */
const withFolder = async work => {
  const folder = mkdtempSync(join(tmpdir(), 'spartan-package-'))
  try {
    await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const makeAll = async (arch, out) => {
  const { version } = options
  await withFolder(async folder => {
    const name = `spartan-${version}-linux-${ARCHITECTURES[arch]}`
    const archive = join(folder, name)
    await putTree(join(archive, 'tree'), arch, version)
    copyFileSync(join(ROOT, 'scripts/install.sh'), join(archive, 'install.sh'))
    execFileSync('tar', [
      '-C',
      folder,
      '--sort=name',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '-czf',
      join(out, `${name}.tar.gz`),
      name,
    ])
    console.log(join(out, `${name}.tar.gz`))
    console.log(
      makeDeb(join(archive, 'tree'), out, {
        name: 'spartan',
        version,
        arch,
        fields: FIELDS,
        description: DESCRIPTION,
        conffiles: CONFIGURATION,
        scripts: ['postinst', 'prerm', 'postrm'].map(script => join(ROOT, 'deploy/debian', script)),
        triggers: join(ROOT, 'deploy/debian/triggers'),
      }),
    )
  })
  if (!options.node) return
  await withFolder(async folder => {
    const nodeVersion = putNode(folder, options.node, arch)
    const fields = {
      Section: 'net',
      Priority: 'optional',
      Depends: 'libc6 (>= 2.28), libstdc++6 (>= 6)',
    }
    console.log(
      makeDeb(folder, out, {
        name: 'spartan-node',
        version: nodeVersion,
        arch,
        fields,
        description: NODE_DESCRIPTION,
      }),
    )
  })
}

const architectures = given => {
  for (const arch of given)
    if (!(arch in ARCHITECTURES))
      throw new Error(`--arch is one of ${Object.keys(ARCHITECTURES).join(', ')}`)
  return given
}

const makeOneImage = async (arch, out) => {
  if (arch !== HERE && !(options.root && options.node))
    throw new Error(`an image for ${arch} needs --root, a system for it, and --node, its Node`)
  const { version, node = process.execPath, root = '/' } = options
  const from = { arch, version, node, root: resolve(root) }
  await withFolder(async folder => console.log(await makeSpartanImage(out, from, folder)))
}

if (options.tree) await putTree(resolve(options.tree), HERE)
else {
  const out = resolve(options.out)
  mkdirSync(out, { recursive: true })
  const all = options.oci ? [HERE] : Object.keys(ARCHITECTURES)
  for (const arch of architectures(options.arch?.split(',') ?? all))
    await (options.oci ? makeOneImage : makeAll)(arch, out)
}
