/** Words of the tuning page. */
import { wording } from "~/shared/i18n";

export const { say: sayTune, use: useTuneWords } = wording(
  {
    title: "Tune", text: "Searches for parameters that do better than the automatic choice, and measures by how much.",
    configure: "Configure fine-tuning", quick: "Quick start", "quick.hint": "{trials} trials of {model} on {dataset}, {judge}", "quick.judge": "judged by {name}", "quick.noJudge": "without a judge", "quick.noData": "Upload a dataset first",
    "empty.title": "No search yet", "empty.text": "A search trains your model many times with other parameters, ends early what falls behind, and measures the best against the automatic choice. It takes about as long as four trainings.",
    searches: "Searches", best: "Best so far", "best.automatic": "the automatic choice", trial: "Trial {n}", automatic: "automatic", verdict: "Verdict", waiting: "The first trials are under way.",
    use: "Use these parameters", stop: "Stop", report: "Report", task: "Task", trials: "Trials", number: "Trial", outcome: "State", value: "Value", loss: "Loss", seconds: "Time",
    "o.waiting": "waiting", "o.under way": "under way", "o.ended early": "ended early", "o.measured": "measured", "o.failed": "failed",
    history: "History", bestLine: "best so far", importance: "What mattered", "importance.few": "Known after eight trials.", parallel: "All trials", "parallel.label": "Each line is a trial; the best one is marked.",
    "d.title": "Configure fine-tuning", "d.judge": "Ask a judge", "d.judgeHint": "A language model that marks the answers; with BERTScore it makes the combined score.", "d.which": "Judge", "d.none": "No judge is registered: add one on the system page.", "d.base": "Base model", "d.dataset": "Dataset", "d.trials": "Trials", "d.begin": "Begin the search", "d.begun": "The search has begun",
  },
  {
    title: "Подбор", text: "Ищет параметры лучше автоматических и измеряет, насколько.",
    configure: "Настроить подбор", quick: "Быстрый старт", "quick.hint": "{trials} проб модели {model} на {dataset}, {judge}", "quick.judge": "оценивает {name}", "quick.noJudge": "без судьи", "quick.noData": "Сначала загрузите данные",
    "empty.title": "Подборов ещё не было", "empty.text": "Подбор обучает модель много раз с разными параметрами, рано прекращает отстающие пробы и сравнивает лучшую с автоматическим выбором. Это занимает примерно четыре обучения.",
    searches: "Подборы", best: "Лучшее на сейчас", "best.automatic": "автоматический выбор", trial: "Проба {n}", automatic: "автоматически", verdict: "Вывод", waiting: "Идут первые пробы.",
    use: "Взять эти параметры", stop: "Остановить", report: "Отчёт", task: "Задача", trials: "Пробы", number: "Проба", outcome: "Состояние", value: "Значение", loss: "Потери", seconds: "Время",
    "o.waiting": "ждёт", "o.under way": "идёт", "o.ended early": "прекращена", "o.measured": "измерена", "o.failed": "ошибка",
    history: "История", bestLine: "лучшее на сейчас", importance: "Что было важно", "importance.few": "Станет известно после восьми проб.", parallel: "Все пробы", "parallel.label": "Каждая линия — проба; лучшая выделена.",
    "d.title": "Настройка подбора", "d.judge": "Спросить судью", "d.judgeHint": "Языковая модель, которая оценивает ответы; вместе с BERTScore даёт общий балл.", "d.which": "Судья", "d.none": "Судей нет: добавьте на странице «Система».", "d.base": "Базовая модель", "d.dataset": "Данные", "d.trials": "Проб", "d.begin": "Начать подбор", "d.begun": "Подбор начат",
  },
  {
    title: "调参", text: "寻找比自动选择更好的参数，并测量好多少。",
    configure: "配置微调", quick: "快速开始", "quick.hint": "在 {dataset} 上试验 {model} {trials} 次，{judge}", "quick.judge": "由 {name} 评分", "quick.noJudge": "不使用评审", "quick.noData": "请先上传数据集",
    "empty.title": "还没有调参", "empty.text": "调参会用不同参数多次训练模型，提前结束落后的试验，并将最好的与自动选择比较。用时约等于四次训练。",
    searches: "调参列表", best: "目前最佳", "best.automatic": "自动选择", trial: "试验 {n}", automatic: "自动", verdict: "结论", waiting: "首批试验进行中。",
    use: "使用这些参数", stop: "停止", report: "报告", task: "任务", trials: "试验", number: "试验", outcome: "状态", value: "数值", loss: "损失", seconds: "用时",
    "o.waiting": "等待", "o.under way": "进行中", "o.ended early": "提前结束", "o.measured": "已测量", "o.failed": "失败",
    history: "历史", bestLine: "目前最佳", importance: "重要因素", "importance.few": "八次试验后可知。", parallel: "全部试验", "parallel.label": "每条线是一次试验，最佳者突出显示。",
    "d.title": "配置微调", "d.judge": "使用评审", "d.judgeHint": "给回答打分的语言模型，与 BERTScore 合成总分。", "d.which": "评审", "d.none": "没有登记评审：请在系统页添加。", "d.base": "基座模型", "d.dataset": "数据集", "d.trials": "试验次数", "d.begin": "开始调参", "d.begun": "调参已开始",
  },
);
