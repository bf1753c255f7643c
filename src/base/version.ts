/** The version, in one place: package.json's, read when it is asked for. */
import { readFileSync } from 'node:fs'

const facts = (): { version: string; commit?: string } =>
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
    commit?: string
  }

export const version = (): string => facts().version

/** The commit a package was built from; '' in a checkout, where git knows better. */
export const revision = (): string => facts().commit ?? ''
