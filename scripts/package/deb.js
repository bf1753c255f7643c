/** Makes Debian packages of trees, with Debian's own dpkg-deb. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'

/** @returns {string[]} every file below a folder, relative to it, sorted */
const filesBelow = (folder, at = folder) =>
  readdirSync(at, { withFileTypes: true })
    .flatMap(entry => {
      const path = join(at, entry.name)
      if (path === join(folder, 'DEBIAN')) return []
      return entry.isDirectory() ? filesBelow(folder, path) : [relative(folder, path)]
    })
    .sort()

const MAINTAINER = 'The spartan authors <spartan@thisdcos.directory>'

/** The changelog that Debian's tools read; what changed is in CHANGELOG.md. */
const changelog = (name, version) =>
  `${name} (${version}) unstable; urgency=medium\n\n  * Built from its repository; what changed is in CHANGELOG.md there.\n\n -- ${MAINTAINER}  ${new Date().toUTCString().replace('GMT', '+0000')}\n`

/**
 * @typedef {object} About
 * @property {string} name
 * @property {string} version
 * @property {'amd64' | 'arm64'} arch
 * @property {Record<string, string>} fields of the control file, beside those that follow from the tree
 * @property {string} description its first line is the summary
 * @property {string[]} [conffiles] paths in the tree
 * @property {string[]} [scripts] paths of maintainer scripts
 * @property {string} [triggers] path of the file of triggers
 */

/**
 * @param {string} tree the root of the package; a folder DEBIAN is made in it
 * @param {string} out folder for the package
 * @param {About} about
 * @returns {string} the path of the package
 */
export const makeDeb = (
  tree,
  out,
  { name, version, arch, fields, description, conffiles = [], scripts = [], triggers },
) => {
  writeFileSync(
    join(tree, `usr/share/doc/${name}/changelog.gz`),
    gzipSync(changelog(name, version), { level: 9 }),
  )
  const files = filesBelow(tree)
  const kib = Math.ceil(
    files.reduce((sum, file) => sum + statSync(join(tree, file)).size, 0) / 1024,
  )
  const control = {
    Package: name,
    Version: version,
    Architecture: arch,
    Maintainer: MAINTAINER,
    'Installed-Size': String(kib),
    ...fields,
    Description: description.trim().replaceAll('\n\n', '\n.\n').replaceAll('\n', '\n '),
  }
  const debian = join(tree, 'DEBIAN')
  mkdirSync(debian, { recursive: true })
  writeFileSync(
    join(debian, 'control'),
    Object.entries(control)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(''),
  )
  if (conffiles.length)
    writeFileSync(join(debian, 'conffiles'), conffiles.map(path => `/${path}\n`).join(''))
  const md5 = file =>
    createHash('md5')
      .update(readFileSync(join(tree, file)))
      .digest('hex')
  writeFileSync(
    join(debian, 'md5sums'),
    files
      .filter(file => !conffiles.includes(file))
      .map(file => `${md5(file)}  ${file}\n`)
      .join(''),
  )
  for (const script of scripts) {
    const to = join(debian, script.split('/').at(-1) ?? '')
    copyFileSync(script, to)
    chmodSync(to, 0o755)
  }
  if (triggers) copyFileSync(triggers, join(debian, 'triggers'))
  chmodSync(tree, 0o755)
  chmodSync(debian, 0o755)
  for (const file of readdirSync(debian))
    chmodSync(join(debian, file), scripts.some(s => s.endsWith(`/${file}`)) ? 0o755 : 0o644)
  const path = join(out, `${name}_${version}_${arch}.deb`)
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '--build', tree, path], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return path
}
