/**
 * The account of the daemon. Commands that root runs write files that the daemon must read, so they change the owner
 * to this account.
 */
import { readFileSync } from 'node:fs'

export type Account = { readonly uid: number; readonly gid: number }

/** The name of the account in spartan.service. */
export const DAEMON_USER = 'spartan'

/** Finds an account in the text of /etc/passwd; undefined if it does not exist. */
export const accountIn = (passwd: string, name: string): Account | undefined => {
  for (const line of passwd.split('\n')) {
    const [login, , uid = '', gid = ''] = line.split(':')
    if (login === name && /^\d+$/.test(uid) && /^\d+$/.test(gid))
      return { uid: Number(uid), gid: Number(gid) }
  }
  return undefined
}

/** The daemon's account on this host; undefined if it does not exist. */
export const daemonAccount = (): Account | undefined => {
  try {
    return accountIn(readFileSync('/etc/passwd', 'utf8'), DAEMON_USER)
  } catch {
    return undefined
  }
}

/**
 * The owner of a file that the daemon reads: its account if root writes the file, otherwise the current user
 * (undefined).
 */
export const ownerForDaemon = (): Account | undefined =>
  process.getuid?.() === 0 ? daemonAccount() : undefined
