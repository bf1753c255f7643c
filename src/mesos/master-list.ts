/** The masters of Mesos, from the configuration or from ZooKeeper. */
export interface MasterList {
  /** 'host:port' each; if the leader is known, it is the first. */
  readonly list: readonly string[]
  /** 'host:port' of the current leader; '' if it is unknown. */
  readonly leader: string
  /** Set by the owner. The argument is true if the leader has changed. */
  onChange: (leaderChanged: boolean) => void
  start(): void
  close(): Promise<void>
}

/** Masters from the configuration, which never change. */
export const staticMasters = (masters: readonly string[]): MasterList => ({
  list: masters,
  leader: '',
  onChange: () => {},
  start: () => {},
  close: async () => {},
})
