/**
 * The lower layer of the image: a shell, the C library, and what else Node and koffi load, taken from the root of a
 * system, and the user and folders of the daemon. There is no other distribution below it.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { loadedBy } from './elf.js'

/** The user of the daemon in the image; any number that no distribution gives away. */
export const USER = 10_053

/** Where the loader looks without a cache, in its order. */
const FOLDERS = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }
const folders = arch =>
  [FOLDERS[arch], '', '64'].flatMap(name =>
    name === '64' ? ['/lib64', '/usr/lib64'] : [`/lib/${name}`, `/usr/lib/${name}`],
  )

/** Loaded by the C library itself for look-ups of names; a newer one has them inside. */
const LOADED_LATER = ['libnss_files.so.2', 'libnss_dns.so.2', 'libresolv.so.2']

/** Programs and libraries whose terms have to travel with them, by Debian's names. */
const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6', 'dash']

/** Copies a file of a root to the same place of the image; links on the way are followed. */
const take = (root, path, to, mode = 0o755) => {
  const folder = relative(realpathSync(root), realpathSync(join(root, dirname(path))))
  if (folder.startsWith('..')) throw new Error(`${path} leads out of ${root}`)
  const target = join(to, folder, basename(path))
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(join(root, path), target)
  chmodSync(target, mode)
}

/**
 * @param {string} to becomes the root of the image
 * @param {object} from
 * @param {string} from.root the root folder of a system for the same processor: /, or one that debootstrap has made
 * @param {'amd64' | 'arm64'} from.arch
 * @param {string[]} from.programs paths of what will run in the image
 */
export const putBase = (to, { root, arch, programs }) => {
  for (const link of ['bin', 'sbin', 'lib', 'lib64']) {
    const path = join(root, link)
    if (!existsSync(path) || !lstatSync(path).isSymbolicLink()) continue
    mkdirSync(join(to, readlinkSync(path).replace(/^\//, '')), { recursive: true })
    symlinkSync(readlinkSync(path).replace(/^\//, ''), join(to, link))
  }
  const find = name =>
    folders(arch)
      .map(folder => join(folder, name))
      .find(path => existsSync(join(root, path)))
  const waiting = [join(root, 'bin/sh'), ...programs]
  const taken = new Set()
  const add = path => {
    if (taken.has(path)) return
    taken.add(path)
    take(root, path, to)
    waiting.push(join(root, path))
  }
  add('/bin/sh')
  for (const name of LOADED_LATER) {
    const path = find(name)
    if (path) add(path)
  }
  for (let program = waiting.pop(); program !== undefined; program = waiting.pop()) {
    const { interpreter, needed } = loadedBy(program)
    if (interpreter !== '') add(interpreter)
    for (const name of needed) {
      const path = find(name)
      if (!path) throw new Error(`${program} needs ${name}, which is not in ${root}`)
      add(path)
    }
  }
  for (const name of PACKAGES) {
    const path = `/usr/share/doc/${name}/copyright`
    if (existsSync(join(root, path))) take(root, path, to, 0o644)
  }
  for (const folder of ['dev', 'proc', 'sys', 'tmp', 'etc', 'run', 'var/lib'])
    mkdirSync(join(to, folder), { recursive: true })
  chmodSync(join(to, 'tmp'), 0o1777)
  const shell = '/bin/sh'
  writeFileSync(
    join(to, 'etc/passwd'),
    `root:x:0:0:root:/:${shell}\nspartan:x:${USER}:${USER}:DNS forwarder:/var/lib/spartan:${shell}\n`,
  )
  writeFileSync(join(to, 'etc/group'), `root:x:0:\nspartan:x:${USER}:\n`)
  writeFileSync(join(to, 'etc/nsswitch.conf'), 'hosts: files dns\n')
}
