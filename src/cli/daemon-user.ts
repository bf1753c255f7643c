/**
 * The account that the daemon runs under. Commands run by root write files
 * that the daemon must read, so they give them to this account.
 */
import { readFileSync } from 'node:fs'

export type Account = { readonly uid: number; readonly gid: number }

/** The name of the account in spartan.service. */
export const DAEMON_USER = 'spartan'

/** Finds an account in the text of /etc/passwd; undefined if it is not there. */
export const accountIn = (passwd: string, name: string): Account | undefined => {
  for (const line of passwd.split('\n')) {
    const [login, , uid = '', gid = ''] = line.split(':')
    if (login === name && /^\d+$/.test(uid) && /^\d+$/.test(gid))
      return { uid: Number(uid), gid: Number(gid) }
  }
  return undefined
}

/** The daemon's account on this host; undefined if it was never made. */
export const daemonAccount = (): Account | undefined => {
  try {
    return accountIn(readFileSync('/etc/passwd', 'utf8'), DAEMON_USER)
  } catch {
    return undefined
  }
}

/** Who must own a file that the daemon reads: its account if root writes the file, otherwise nobody else. */
export const ownerForDaemon = (): Account | undefined =>
  process.getuid?.() === 0 ? daemonAccount() : undefined
