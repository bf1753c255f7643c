/**
 * Replaces a file atomically: other programs read either the old or the new text, never an empty or partial file. If
 * the path is a symlink, the file it points to is replaced.
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { codeOf, fail, messageOf } from '../base/error.ts'

/** Limit of symlinks, the same as in Linux. */
const MAX_LINKS = 40
/** A larger file is not a resolv.conf. */
const MAX_BYTES = 2 ** 20

/**
 * Errors of creating or renaming a new file that do not affect writing to the old one: a bind mount, or a read-only
 * folder.
 */
const IN_PLACE = new Set(['EBUSY', 'EROFS', 'EACCES', 'EPERM', 'EXDEV'])

/** How octets are converted to text and back. */
type Encoding = 'utf8' | 'latin1'

/** System calls that tests replace to simulate a mounted file. */
export type Calls = { readonly rename: (from: string, to: string) => void }

/** The file at the end of a chain of symlinks; it need not exist. Throws EDATA on a loop. */
export const linkTarget = (path: string): string => {
  let at = resolve(path)
  for (let i = 0; i < MAX_LINKS; i++) {
    let link: string
    try {
      link = readlinkSync(at)
    } catch {
      return at
    }
    at = resolve(folderOf(at), link)
  }
  throw fail(`${path} is a loop of symlinks`, 'EDATA')
}

/** The real folder of a path; a relative link starts from it. */
const folderOf = (path: string): string => {
  try {
    return realpathSync(dirname(path))
  } catch {
    return dirname(path)
  }
}

/**
 * The text of a file, '' if it does not exist; `latin1` gives one character per octet. Throws EDATA if it cannot be
 * read or is not a regular file.
 */
export const readText = (path: string, encoding: Encoding = 'utf8'): string => {
  let fd: number
  try {
    // O_NONBLOCK, because opening a named pipe would wait for a writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (er) {
    if (codeOf(er) === 'ENOENT') return ''
    throw fail(`cannot read ${path}: ${messageOf(er)}`, 'EDATA', { cause: er })
  }
  try {
    const { size } = fstatSync(fd)
    if (!fstatSync(fd).isFile() || size > MAX_BYTES)
      throw fail(`${path} is not a text file of this kind`, 'EDATA')
    const buffer = Buffer.alloc(size)
    return buffer.toString(encoding, 0, readSync(fd, buffer, 0, size, 0))
  } finally {
    closeSync(fd)
  }
}

/**
 * Replaces the file's text. Returns how: by renaming a new file, or by writing into the old one. If it throws EDATA,
 * the old text is still there.
 */
export const replaceFile = (
  path: string,
  text: string,
  calls: Calls = { rename: renameSync },
): 'renamed' | 'in place' => {
  if (text === '') throw fail(`${path} is never made empty`, 'ESTATE')
  return replaceAt(path, linkTarget(path), Buffer.from(text), calls)
}

/** Like replaceFile, but a symlink at `path` is itself replaced by a file. The text may be empty. */
export const putFile = (path: string, text: string, encoding: Encoding = 'utf8'): void => {
  replaceAt(path, path, Buffer.from(text, encoding), { rename: renameSync })
}

/** `path` is shown in messages, `target` is written. */
const replaceAt = (
  path: string,
  target: string,
  bytes: Buffer,
  calls: Calls,
): 'renamed' | 'in place' => {
  const beside = `${target}.${randomBytes(6).toString('hex')}`
  const there = lstatSync(target, { throwIfNoEntry: false })
  const old = there?.isSymbolicLink() ? undefined : there
  try {
    const fd = openSync(beside, 'wx', 0o644)
    try {
      // Set explicitly, because the umask of the process could make the file unreadable for others.
      fchmodSync(fd, old ? old.mode & 0o777 : 0o644)
      if (old && process.getuid?.() === 0) fchownSync(fd, old.uid, old.gid)
      writeWhole(fd, bytes)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    calls.rename(beside, target)
    syncFolder(dirname(target))
    return 'renamed'
  } catch (er) {
    tidy(beside)
    if (!IN_PLACE.has(codeOf(er)) || !old?.isFile()) {
      throw fail(`cannot write ${path}: ${messageOf(er)}`, 'EDATA', { cause: er })
    }
  }
  writeInto(path, target, bytes)
  return 'in place'
}

const writeWhole = (fd: number, bytes: Buffer): void => {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at)
}

/** Overwrites the old bytes and then truncates, so that a concurrent reader finds nameservers. */
const writeInto = (path: string, target: string, bytes: Buffer): void => {
  try {
    const fd = openSync(target, 'r+')
    try {
      writeWhole(fd, bytes)
      ftruncateSync(fd, bytes.length)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (er) {
    throw fail(`cannot write ${path}: ${messageOf(er)}`, 'EDATA', { cause: er })
  }
}

/**
 * Syncs the folder, so that the rename survives a power failure. Errors are ignored: some file systems cannot do it.
 */
const syncFolder = (folder: string): void => {
  try {
    const fd = openSync(folder, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch {
    // Not every file system can sync folders.
  }
}

const tidy = (beside: string): void => {
  try {
    rmSync(beside, { force: true })
  } catch {
    // In a read-only folder there cannot be a file of ours.
  }
}
