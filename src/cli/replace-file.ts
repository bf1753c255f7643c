/**
 * Replaces a file that other programs read at any moment: they see the old
 * text or the new one, never an empty or half-written file. A symlink stays
 * one; what it points at is replaced.
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

/** As many links as Linux follows. */
const MAX_LINKS = 40
/** A resolv.conf longer than this is none. */
const MAX_BYTES = 2 ** 20

/** What can go wrong with the new file beside the old one, when the old one itself may still be written: a bind mount, or a folder that is read-only. */
const IN_PLACE = new Set(['EBUSY', 'EROFS', 'EACCES', 'EPERM', 'EXDEV'])

/** How octets and text become each other. */
type Encoding = 'utf8' | 'latin1'

/** The system calls, for tests that stand in for a mounted file. */
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

/** The folder a relative link starts from: '..' is meant from where the folder really is. */
const folderOf = (path: string): string => {
  try {
    return realpathSync(dirname(path))
  } catch {
    return dirname(path)
  }
}

/** The text of a file, '' if there is none; `latin1` is a character for each octet. Throws EDATA if it cannot be read or is no file of this kind. */
export const readText = (path: string, encoding: Encoding = 'utf8'): string => {
  let fd: number
  try {
    // A named pipe would otherwise wait for a writer.
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

/** Put `text` in the place of the file. Returns how: a new file moved over the old one, or written into it. Throws EDATA, and the old text is still there. */
export const replaceFile = (
  path: string,
  text: string,
  calls: Calls = { rename: renameSync },
): 'renamed' | 'in place' => {
  if (text === '') throw fail(`${path} is never made empty`, 'ESTATE')
  return replaceAt(path, linkTarget(path), Buffer.from(text), calls)
}

/** The same, but a symlink at `path` is itself replaced by a file, and what it points at stays. The text may be empty. */
export const putFile = (path: string, text: string, encoding: Encoding = 'utf8'): void => {
  replaceAt(path, path, Buffer.from(text, encoding), { rename: renameSync })
}

/** `path` is for messages, `target` is the place. */
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
      // The mask of the process must not make the file unreadable for others.
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

/** Over the old bytes first, cut to length afterwards: a reader in between finds nameservers, not nothing. */
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

/** The rename itself must survive a power cut; a file system that cannot promise it is still used. */
const syncFolder = (folder: string): void => {
  try {
    const fd = openSync(folder, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch {
    // Not every file system syncs folders.
  }
}

const tidy = (beside: string): void => {
  try {
    rmSync(beside, { force: true })
  } catch {
    // A read-only folder has no file of ours in it.
  }
}
