import { Page, PageHead } from "../parts/layout";

export function DatasetPage(_: { id: number }) {
  return <Page><PageHead title="DatasetPage" /></Page>;
}
