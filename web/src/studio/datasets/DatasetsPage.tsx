import { Page, PageHead } from "../parts/layout";

export function DatasetsPage() {
  return <Page><PageHead title="DatasetsPage" /></Page>;
}
