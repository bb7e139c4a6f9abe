import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "~/shared/components/Toasts";
import { adapters } from "../api";
import { FormDialog } from "../parts/FormDialog";
import { refresh } from "./AdapterMenu";
import { NameField, useNameProblem } from "./NameField";
import { useAdapterWords } from "./words";

export function RenameDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const t = useAdapterWords();
  const [next, setNext] = useState(name);
  const problem = useNameProblem(next, name);
  const renaming = useMutation({
    mutationFn: () => adapters.rename(name, next),
    onSuccess: (made) => {
      toast(t("renamed", { name: made.name }));
      refresh();
      onClose();
    },
  });
  return (
    <FormDialog
      title={t("rename.title", { name })} action={t("rename")} isPending={renaming.isPending} disabled={!next || next === name || problem !== undefined}
      error={renaming.error} onSubmit={() => renaming.mutate()} onClose={onClose}
    >
      <NameField value={next} problem={problem} onChange={setNext} />
    </FormDialog>
  );
}
