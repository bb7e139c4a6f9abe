# The studio in a container. PyTorch's CPU builds make it some gigabytes smaller: --build-arg TORCH_INDEX=URL of their index.
FROM python:3.11-slim
ARG TORCH_INDEX=""
WORKDIR /opt/lorasmith
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY examples ./examples
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c src/lorasmith/env/constraints.txt torch \
 && pip install --no-cache-dir -c src/lorasmith/env/constraints.txt '.[train,evaluate,mlflow,databases]'
RUN useradd --create-home lorasmith && install -d -o lorasmith /data
USER lorasmith
ENV LORASMITH_HOME=/data
VOLUME /data
EXPOSE 7860
CMD ["lorasmith", "studio", "--host", "0.0.0.0", "--no-browser"]
