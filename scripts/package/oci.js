/** Writes an image in the layout of the Open Container Initiative, without a container engine. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const IMAGE = 'application/vnd.oci.image'
const digestOf = content => `sha256:${createHash('sha256').update(content).digest('hex')}`

/** The same octets for the same files. */
const TAR = ['--sort=name', '--mtime=@0', '--numeric-owner', '--format=ustar']

/**
 * @typedef {object} Layer
 * @property {string} folder its files, which belong to root in the image
 * @property {string} by what made it, for the history
 * @property {{ id: number, folders: string[] }} [owned] empty folders that belong to another user
 */

/** A layer as a tar archive. @param {Layer} layer @param {string} scratch @returns {Buffer} */
const archiveOf = ({ folder, owned }, scratch) => {
  const path = join(scratch, 'layer.tar')
  execFileSync('tar', ['-C', folder, ...TAR, '--owner=0', '--group=0', '-cf', path, '.'])
  if (owned) {
    const root = join(scratch, 'owned')
    for (const name of owned.folders) mkdirSync(join(root, name), { recursive: true, mode: 0o750 })
    const owner = [`--owner=${owned.id}`, `--group=${owned.id}`]
    execFileSync('tar', ['-C', root, ...TAR, ...owner, '-rf', path, ...owned.folders])
  }
  const archive = readFileSync(path)
  rmSync(path)
  return archive
}

/**
 * @param {string} path the archive to write
 * @param {object} image
 * @param {'amd64' | 'arm64'} image.arch
 * @param {string} image.name
 * @param {string} image.version
 * @param {string} image.created ISO 8601
 * @param {object} image.config how the image is run, as in the OCI's image specification
 * @param {Layer[]} image.layers lowest first
 * @param {string} scratch an empty folder
 */
export const makeImage = (path, { arch, name, version, created, config, layers }, scratch) => {
  const layout = join(scratch, 'layout')
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const put = (mediaType, content) => {
    const digest = digestOf(content)
    writeFileSync(join(layout, 'blobs', digest.replace(':', '/')), content)
    return { mediaType, digest, size: content.length }
  }
  const putJson = (mediaType, value) => put(mediaType, Buffer.from(JSON.stringify(value)))
  const made = layers.map(layer => {
    const archive = archiveOf(layer, scratch)
    const blob = put(`${IMAGE}.layer.v1.tar+gzip`, gzipSync(archive, { level: 6 }))
    return { blob, diffId: digestOf(archive), by: layer.by }
  })
  const platform = { architecture: arch, os: 'linux' }
  const configured = putJson(`${IMAGE}.config.v1+json`, {
    created,
    ...platform,
    config,
    rootfs: { type: 'layers', diff_ids: made.map(({ diffId }) => diffId) },
    history: made.map(({ by }) => ({ created, created_by: by })),
  })
  const manifest = putJson(`${IMAGE}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${IMAGE}.manifest.v1+json`,
    config: configured,
    layers: made.map(({ blob }) => blob),
  })
  const index = {
    schemaVersion: 2,
    mediaType: `${IMAGE}.index.v1+json`,
    manifests: [
      {
        ...manifest,
        platform,
        annotations: {
          'org.opencontainers.image.ref.name': version,
          // The name that containerd, Docker and Podman give it.
          'io.containerd.image.name': `localhost/${name}:${version}`,
        },
      },
    ],
  }
  writeFileSync(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  writeFileSync(join(layout, 'index.json'), JSON.stringify(index))
  const entries = ['oci-layout', 'index.json', 'blobs']
  execFileSync('tar', ['-C', layout, ...TAR, '--owner=0', '--group=0', '-cf', path, ...entries])
  return path
}
