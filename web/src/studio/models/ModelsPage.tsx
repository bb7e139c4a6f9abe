import { Page, PageHead } from "../parts/layout";

export function ModelsPage() {
  return <Page><PageHead title="ModelsPage" /></Page>;
}
